/** Compares every value that a device computes in a prefill with the float64 interpreter. */
import type { Program } from "../compile.js";
import { InternalError } from "../diagnostics/diagnostic.js";
import type { Computed } from "../interpret/graph/execute.js";
import { createCpuSession, derivedPlan, type WeightSource } from "../interpret/graph/index.js";
import { RowTable as CpuRowTable } from "../interpret/graph/row-table.js";
import type { Model } from "../runtime/model.js";
import { prefillTable, type RowTable } from "../runtime/rows.js";
import { rowModel } from "../runtime/shape.js";
import { type ProbePoint, probePoints } from "./match-steps.js";
import { probe } from "./probe.js";

/** How far a device is from the interpreter in one operation of one layer. */
export interface OpDifference {
  /** Undefined outside of the layers. */
  readonly layer: number | undefined;
  /** The value's name in the model. */
  readonly value: string;
  /** The step that computes it, as the manifest calls it, and where in the source it comes from. */
  readonly step: string;
  readonly origin: string | undefined;
  /** Largest absolute difference of an element, and the largest absolute element. */
  readonly difference: number;
  readonly magnitude: number;
}

/** All operations in the order in which they are computed, for a prefill of `ids` (one sequence). */
export async function* compareOps(
  program: Program,
  model: Model,
  weights: WeightSource,
  ids: readonly number[],
): AsyncGenerator<OpDifference> {
  const expected = interpret(program, weights, ids);
  const table = prefillTable(rowModel(model.manifest), [{ sequence: 0, start: 0, ids }]);
  const rowOf = cpuRows(program, ids);
  for (const point of probePoints(program.graph, program.manifest)) {
    const { base, count } = rangeOf(table, point);
    // The head writes its rows from the start of its buffer; everything else stands at the row's place in the table.
    const offset = point.part === "after" ? base : 0;
    const found = await probe(model, point, ids, base + count - offset);
    const computed = expected.get(keyOf(point.part === "layer" ? point.layer : 0, point.value.id));
    if (computed === undefined) throw new InternalError(`the interpreter did not compute ${point.value.name}`);
    let difference = 0;
    let magnitude = 0;
    for (let row = base; row < base + count; row++) {
      const [, pos, copy] = table.words.subarray(row * 4, row * 4 + 3) as unknown as [number, number, number];
      const from = (rowOf(pos, copy) - computed.first) * computed.width;
      const to = (row - offset) * point.width;
      for (let column = 0; column < point.width; column++) {
        const wanted = computed.data[from + column]!;
        const distance = Math.abs(found[to + column]! - wanted);
        // Written so that a NaN counts as the largest difference.
        if (!(distance <= difference)) difference = distance;
        magnitude = Math.max(magnitude, Math.abs(wanted));
      }
    }
    yield { ...describe(program, point), difference, magnitude };
  }
}

/** Rows that leave the layer: whatever an operation computes, it computes it for these. */
function rangeOf(table: RowTable, { part, layer }: ProbePoint) {
  return part === "before" ? table.input(0) : part === "after" ? table.output : table.query(layer);
}

function describe({ manifest }: Program, { part, layer, step, value }: ProbePoint) {
  const { prefill } = manifest.phases;
  const steps = part === "layer" ? prefill.layer[prefill.classOf[layer]!]! : prefill[part];
  const { name, origin } = steps[step]!;
  return { layer: part === "layer" ? layer : undefined, value: value.name, step: name, origin };
}

const keyOf = (layer: number, value: number) => `${layer} ${value}`;

function interpret(program: Program, weights: WeightSource, ids: readonly number[]): ReadonlyMap<string, Computed> {
  const computed = new Map<string, Computed>();
  const session = createCpuSession(program.graph, weights, {
    observe: (op, layer, value) => {
      computed.set(keyOf(layer, op.results[0]!.id), { ...value, data: value.data.slice() });
    },
  });
  session.prefill([ids]);
  return computed;
}

/** The interpreter's row of a token: its table is ordered by depth too, but otherwise by stream. */
function cpuRows({ graph, manifest }: Program, ids: readonly number[]): (pos: number, copy: number) => number {
  const plan = derivedPlan(graph);
  const rows = ids.flatMap((id, pos) =>
    Array.from({ length: graph.copies }, (_, index) => {
      const token = { pos, copy: index + 1 };
      return { ...token, sequence: 0, id, depth: plan.depth(token, 0, ids.length) };
    }),
  );
  const table = new CpuRowTable(
    rows.filter(({ depth }) => depth > 0),
    manifest.model.layers,
  );
  const places = new Map(table.rows.map(({ pos, copy }, row) => [pos * graph.copies + copy, row]));
  return (pos, copy) => places.get(pos * graph.copies + copy)!;
}
