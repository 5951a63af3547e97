/**
 * How many rows each layer computes and how many keys stay: for the program itself, and for the plans that it is compared with.
 */
import type { Program } from "../compile.js";
import { evaluate } from "../ir/expr.js";
import type { Predicate, Term } from "../ir/relation/predicate.js";
import type { AttentionSystem } from "../passes/tokens/attention-system.js";
import { DemandAnalysis } from "../passes/tokens/demand.js";
import { type DecodeDemand, deriveDecode, derivePrefill, type PrefillDemand } from "../passes/tokens/derive-phases.js";
import { groupTokens } from "../passes/tokens/group-tokens.js";
import { inferRetention, type Retention, type RetentionLayout } from "../passes/tokens/infer-retention.js";
import { countRows, type RowSet } from "../passes/tokens/row-set.js";

/** Rows of one layer: that enter it, that get a key and a value, that leave it. */
export interface LayerRows {
  readonly input: number;
  readonly keys: number;
  readonly query: number;
}

/** Rows per layer of a prompt and of the step after it, and keys per layer that are kept between the two. */
export interface Plan {
  readonly prefill: readonly LayerRows[];
  readonly decode: readonly LayerRows[];
  readonly kept: readonly number[];
}

/** What the program does with a prompt of n positions. */
export function planOfProgram({ facts, manifest }: Program, n: number): Plan {
  const { input, query } = manifest.rows.decode;
  const decode = facts.decode.layers.map(({ kv }, layer) => ({
    ...{ input: input[layer]!, query: query[layer]! },
    keys: copiesIn(kv),
  }));
  return { prefill: prefillRows(facts.prefill, n), decode, kept: keptKeys(facts.retention, n) };
}

/** The plan of the same transformer without repetition: K = 1, and every token sees what is not after it. */
export function planWithoutCopies(system: AttentionSystem, n: number): Plan {
  return planOfSystem({ ...system, ...uniform(system, notLater), copies: 1, predictCopy: 1 }, n);
}

/** The plan of plain repetition: every token sees all that is not after it in stream order. */
export function planOfRepetition(system: AttentionSystem, n: number): Plan {
  return planOfSystem({ ...system, ...uniform(system, notLaterInStream) }, n);
}

/**
 * The plan that the paper describes for such a cache, the same in all layers: originals of the whole prompt; hidden tokens of its last
 * position if they are never kept, of its last chunk if they are kept no longer than that, and else of all positions. Every row passes
 * all of every layer.
 */
export function planOfPaper({ facts, manifest }: Program, n: number): Plan {
  const { copies } = facts.system;
  const hidden = facts.groups.flatMap(({ lastCopy }, index) => (lastCopy > 1 ? [index] : []));
  const layouts = facts.retention.flatMap((groups) => hidden.map((index) => groups[index]!.layout));
  const hiddenPositions = Math.max(0, ...layouts.map((layout) => positionsComputed(layout, n)));
  const everything = (rows: number): LayerRows[] =>
    Array.from({ length: manifest.model.layers }, () => ({ input: rows, keys: rows, query: rows }));
  return {
    prefill: everything(n + (copies - 1) * hiddenPositions),
    decode: everything(copies),
    kept: keptKeys(facts.retention, n),
  };
}

function positionsComputed(layout: RetentionLayout, n: number): number {
  switch (layout.kind) {
    case "forever":
    case "ring":
      return n;
    case "ring-in-chunk":
      return ((n - 1) % layout.chunk) + 1;
    case "step":
    case "unread":
      return 1;
  }
}

function planOfSystem(system: AttentionSystem, n: number): Plan {
  const groups = groupTokens(system);
  const analysis = new DemandAnalysis(system, groups);
  return {
    prefill: prefillRows(derivePrefill(system, groups, analysis), n),
    decode: decodeRows(deriveDecode(system, groups, analysis)),
    kept: keptKeys(inferRetention(system, groups, analysis), n),
  };
}

function prefillRows({ layers }: PrefillDemand, n: number): LayerRows[] {
  const count = (sets: readonly RowSet[]) => sets.reduce((total, rows) => total + countRows(rows, { n, start: 0 }), 0);
  return layers.map(({ input, kv, query }) => ({ input: count(input), keys: count(kv), query: count(query) }));
}

function decodeRows({ layers }: DecodeDemand): LayerRows[] {
  return layers.map(({ kv, query }, layer) => {
    const above = layers[layer + 1];
    // What leaves a layer enters the next, so below the last layer the rows of a layer are those that leave the one before it.
    const leaving = above === undefined ? 1 : copiesIn([...above.kv, ...above.query]);
    return { input: copiesIn([...kv, ...query]), keys: copiesIn(kv), query: leaving };
  });
}

/** Copies in a union of inclusive intervals. */
function copiesIn(intervals: readonly (readonly number[])[]): number {
  let count = 0;
  let next = 1;
  for (const [first, last] of [...intervals].sort((a, b) => a[0]! - b[0]!)) {
    count += Math.max(0, last! + 1 - Math.max(next, first!));
    next = Math.max(next, last! + 1);
  }
  return count;
}

const keptKeys = (retention: readonly (readonly Retention[])[], n: number): number[] =>
  retention.map((groups) => groups.reduce((total, { live }) => total + evaluate(live, { n }), 0));

/** One relation in all layers that attend. */
const uniform = ({ layers }: AttentionSystem, predicate: Predicate) => ({
  predicates: [predicate],
  layers: layers.map((which) => (which === undefined ? undefined : 0)),
});

const at = (name: Extract<Term, { kind: "coordinate" }>["name"]): Term => ({ kind: "coordinate", name });
const compare = (name: "pos" | "copy", operator: Extract<Predicate, { kind: "compare" }>["operator"]): Predicate => ({
  kind: "compare",
  operator,
  left: at(`k.${name}`),
  right: at(`q.${name}`),
});

const notLater = compare("pos", "<=");
const notLaterInStream: Predicate = {
  kind: "or",
  parts: [compare("pos", "<"), { kind: "and", parts: [compare("pos", "=="), compare("copy", "<=")] }],
};
