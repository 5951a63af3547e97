/**
 * What was derived from a model, in numbers: which rows a prompt computes, which keys stay, what a step costs, and why.
 *
 * Everything comes from the analyses that the kernels and caches are built from; nothing is worked out a second time.
 */
import type { Program } from "../compile.js";
import { evaluate } from "../ir/expr.js";
import type { FusedLinear, Graph, Op, RowClass, TensorType, ValueId } from "../ir/graph/ops.js";
import type { RetentionLayout } from "../passes/tokens/infer-retention.js";
import { countRows } from "../passes/tokens/row-set.js";
import { elementBytes, storesOf } from "../runtime/shape.js";

/** One layer and key group, for a prompt of n positions. */
export interface GroupPlan {
  readonly layer: number;
  readonly group: string;
  /** Rows of the prompt that get a key and a value. */
  readonly kv_rows: number;
  /** Rows that get a query and an output projection. */
  readonly query_rows: number;
  /** Rows that pass the feed-forward part: those that leave the layer. */
  readonly ffn_rows: number;
  /** Keys that are kept after the prompt. */
  readonly retained: number;
  /** Bytes of these keys and their values. */
  readonly bytes: number;
  /** How they are kept: `for ever`, `ring of 16`, … */
  readonly retention: string;
  /** The part of the relation that decides it. */
  readonly reason: string;
}

/** The same figure for the model and for K = 1: every token once, every key kept. */
export interface Compared {
  readonly value: number;
  readonly single: number;
}

export interface Explanation {
  readonly model: string;
  readonly copies: number;
  readonly n: number;
  readonly attends: readonly string[];
  readonly layers: readonly GroupPlan[];
  readonly kv_bytes: Compared;
  /** Multiplications and additions of all matrix products but attention's. */
  readonly prefill_flops: Compared;
  readonly decode_flops: Compared;
  /** Bytes that a decode step reads: weights of matrix products once, and every kept key and value. */
  readonly decode_bytes: Compared;
}

/** Explains a program for a prompt of `n` positions. */
export function explain({ graph, facts, manifest }: Program, n: number): Explanation {
  const env = { n, start: 0 };
  const layers = facts.retention.flatMap((retention, layer) =>
    facts.groups.map((group, index): GroupPlan => {
      const { kv, query } = facts.prefill.layers[layer]!;
      const { live, layout, reason } = retention[index]!;
      const { element, kvWidth } = storesOf(manifest, layer)[index]!;
      const retained = evaluate(live, { n });
      const leaving = countRows(query[index]!, env);
      return {
        layer,
        group: group.name,
        kv_rows: countRows(kv[index]!, env),
        query_rows: leaving,
        ffn_rows: leaving,
        retained,
        bytes: retained * 2 * kvWidth * elementBytes[element],
        retention: describeLayout(layout),
        reason: reason.text,
      };
    }),
  );

  const { decode } = manifest.rows;
  const last = manifest.model.layers - 1;
  const work = new LinearWork(graph);
  const inPrefill = (layer: number, rows: RowClass) => {
    const { input, query } = facts.prefill.layers[layer]!;
    return (rows === "input" ? input : query).reduce((total, set) => total + countRows(set, env), 0);
  };
  const inDecode = (layer: number, rows: RowClass) => (rows === "input" ? decode.input : decode.query)[layer]!;
  const single = (layer: number, rows: RowClass) => (layer === last && rows === "query" ? 1 : n);

  const kvBytes = layers.reduce((total, { bytes }) => total + bytes, 0);
  const singleKvBytes = facts.retention.reduce((total, _, layer) => {
    const { element, kvWidth } = storesOf(manifest, layer)[0]!;
    return total + n * 2 * kvWidth * elementBytes[element];
  }, 0);
  const [matrix] = manifest.weights.filter(({ columns }) => columns > 1);
  const weightBytes = work.elements() * elementBytes[matrix?.element ?? "f32"];
  return {
    model: manifest.model.name,
    copies: manifest.model.copies,
    n,
    attends: manifest.model.attends,
    layers,
    kv_bytes: { value: kvBytes, single: singleKvBytes },
    prefill_flops: { value: work.flops(inPrefill), single: work.flops(single) },
    decode_flops: { value: work.flops(inDecode), single: work.flops(() => 1) },
    decode_bytes: { value: weightBytes + kvBytes, single: weightBytes + singleKvBytes },
  };
}

function describeLayout(layout: RetentionLayout): string {
  switch (layout.kind) {
    case "forever":
      return "for ever";
    case "ring":
      return `ring of ${layout.slots}`;
    case "ring-in-chunk":
      return `ring of ${layout.slots} in chunk of ${layout.chunk}`;
    case "step":
      return "within a step";
    case "unread":
      return "never read";
  }
}

/** The matrix products of a fused graph. */
class LinearWork {
  private readonly types = new Map<ValueId, TensorType>();
  private readonly layersOf: readonly (readonly FusedLinear[])[];
  private readonly outside: readonly FusedLinear[];

  constructor(graph: Graph) {
    const products = (ops: readonly Op[]) => {
      for (const { results } of ops) for (const { id, type } of results) this.types.set(id, type);
      return ops.filter((op): op is FusedLinear => op.kind === "fused-linear");
    };
    const { ops } = graph.body;
    this.outside = products(ops);
    this.layersOf = ops.flatMap((op) => {
      if (op.kind !== "layers") return [];
      const classes = op.classes.map(({ body }) => products(body.ops));
      return op.classOf.map((layerClass) => classes[layerClass]!);
    });
  }

  /** Elements of all matrices that rows are multiplied with. */
  elements(): number {
    return [...this.layersOf.flat(), ...this.outside]
      .flatMap(({ weights }) => weights)
      .reduce((total, weight) => total + this.size(weight), 0);
  }

  /** `rowsOf` says how many rows of a kind a layer computes; the head computes one. */
  flops(rowsOf: (layer: number, rows: RowClass) => number): number {
    const inLayers = this.layersOf.flatMap((products, layer) =>
      products.map(({ weights, rows = "input", columnRows }) =>
        weights.reduce(
          (total, weight, index) => total + 2 * this.size(weight) * rowsOf(layer, columnRows?.[index] ?? rows),
          0,
        ),
      ),
    );
    const head = this.outside.flatMap(({ weights }) => weights.map((weight) => 2 * this.size(weight)));
    return [...inLayers, ...head].reduce((total, flops) => total + flops, 0);
  }

  private size(weight: ValueId): number {
    return this.types.get(weight)!.shape.reduce<number>((product, dim) => product * Number(dim), 1);
  }
}
