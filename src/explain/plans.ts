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
import { keyBounds } from "../passes/tokens/key-bounds.js";
import { countRows, type RowSet } from "../passes/tokens/row-set.js";
import { type KeyRange, visitedByStep, visitedKeys } from "./visited-keys.js";

/** Rows of one layer: that enter it, that get a key and a value, that leave it; and the pairs that attention looks at. */
export interface LayerRows {
  readonly input: number;
  readonly keys: number;
  readonly query: number;
  readonly pairs: number;
}

/** Rows per layer of a prompt and of the step after it, and keys per layer that are kept between the two. */
export interface Plan {
  readonly prefill: readonly LayerRows[];
  readonly decode: readonly LayerRows[];
  readonly kept: readonly number[];
}

/** What the program does with a prompt of n positions. */
export function planOfProgram(program: Program, n: number): Plan {
  const { facts, manifest } = program;
  const { input, query, order } = manifest.rows.decode;
  const ranges = rangesOfProgram(program);
  const decode = facts.decode.layers.map(({ kv }, layer) => ({
    ...{ input: input[layer]!, query: query[layer]! },
    keys: copiesIn(kv).length,
    pairs: visitedByStep(order.slice(order.length - query[layer]!), ranges[layer]!, n),
  }));
  return { prefill: prefillRows(facts.prefill, ranges, n), decode, kept: keptKeys(facts.retention, n) };
}

/** Per layer, from where to where its queries look in each group that they see at all. */
const rangesOfProgram = ({ graph, facts }: Program): KeyRange[][] =>
  facts.system.layers.map((which) =>
    which === undefined ? [] : graph.attends[which]!.parts!.filter(({ density }) => density !== "empty"),
  );

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
export function planOfPaper(program: Program, n: number): Plan {
  const { facts } = program;
  const { copies } = facts.system;
  const hidden = facts.groups.flatMap(({ lastCopy }, index) => (lastCopy > 1 ? [index] : []));
  const layouts = facts.retention.flatMap((groups) => hidden.map((index) => groups[index]!.layout));
  const hiddenPositions = Math.max(0, ...layouts.map((layout) => positionsComputed(layout, n)));
  const rows = facts.groups.map(({ name, firstCopy, lastCopy, firstPos = 0, endPos = n }): RowSet => {
    const size = lastCopy - firstCopy + 1;
    const first = Math.max(firstPos, lastCopy === 1 ? 0 : n - hiddenPositions);
    const ranges = [{ lo: first * size, hi: Math.min(n, endPos) * size }];
    return { group: name, firstCopy, lastCopy, ranges };
  });
  const total = rows.reduce((sum, set) => sum + countRows(set, { n }), 0);
  const all = (count: number, pairs: number): LayerRows => ({ input: count, keys: count, query: count, pairs });
  const ranges = rangesOfProgram(program);
  const everyCopy = Array.from({ length: copies }, (_, index) => index + 1);
  return {
    prefill: ranges.map((keys) => all(total, visitedKeys(rows, keys, { n, start: 0 }))),
    decode: ranges.map((keys) => all(copies, visitedByStep(everyCopy, keys, n))),
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
  const ofPredicate = system.predicates.map((predicate) =>
    groups.map((group) => keyBounds(predicate, system.copies, group)).filter(({ empty }) => empty !== true),
  );
  const ranges = system.layers.map((which) => (which === undefined ? [] : ofPredicate[which]!));
  return {
    prefill: prefillRows(derivePrefill(system, groups, analysis), ranges, n),
    decode: decodeRows(deriveDecode(system, groups, analysis), ranges, system.predictCopy, n),
    kept: keptKeys(inferRetention(system, groups, analysis), n),
  };
}

function prefillRows({ layers }: PrefillDemand, ranges: readonly KeyRange[][], n: number): LayerRows[] {
  const env = { n, start: 0 };
  const count = (sets: readonly RowSet[]) => sets.reduce((total, rows) => total + countRows(rows, env), 0);
  // Layers share their demands, and counting pairs is most of the work.
  const known = new Map<readonly RowSet[], { readonly keys: readonly KeyRange[]; readonly pairs: number }>();
  return layers.map(({ input, kv, query }, layer) => {
    const keys = ranges[layer]!;
    const before = known.get(query);
    const pairs = before?.keys === keys ? before.pairs : visitedKeys(query, keys, env);
    known.set(query, { keys, pairs });
    return { input: count(input), keys: count(kv), query: count(query), pairs };
  });
}

function decodeRows(
  { layers }: DecodeDemand,
  ranges: readonly KeyRange[][],
  predictCopy: number,
  n: number,
): LayerRows[] {
  return layers.map(({ kv, query }, layer) => {
    const above = layers[layer + 1];
    // What leaves a layer enters the next; the predicting copy leaves the last.
    const leaving = above === undefined ? [predictCopy] : copiesIn([...above.kv, ...above.query]);
    return {
      ...{ input: copiesIn([...kv, ...query]).length, keys: copiesIn(kv).length, query: leaving.length },
      pairs: visitedByStep(leaving, ranges[layer]!, n),
    };
  });
}

/** The copies of a union of inclusive intervals, ascending. */
function copiesIn(intervals: readonly (readonly number[])[]): number[] {
  const copies = new Set<number>();
  for (const [first, last] of intervals) for (let copy = first!; copy <= last!; copy++) copies.add(copy);
  return [...copies].sort((a, b) => a - b);
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
