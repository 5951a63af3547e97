/**
 * How long keys must be kept, per layer and key group, and the tightest layout that keeps them.
 *
 * Only demanded queries count: the last layer has a query for the predicted copy alone, so it keeps less. Between two steps the
 * live keys are an exact set in n; a ring holds the farthest of them, a ring in a chunk forgets everything at each chunk edge.
 */
import { relationDiagnostics } from "../../diagnostics/catalogue-relation.js";
import { label } from "../../diagnostics/define.js";
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import { add, type Expr, evaluate, max, min, mod, mul, sub } from "../../ir/expr.js";
import { constant, floorOf, scale, shift } from "../../ir/relation/affine.js";
import {
  areDisjoint,
  atMost,
  type IntegerSet,
  intersect,
  isEmpty,
  less,
  where,
} from "../../ir/relation/integer-set.js";
import type { Predicate, Term } from "../../ir/relation/predicate.js";
import { quotePredicate } from "../../ir/relation/quote-predicate.js";
import { copiesIn } from "../../runtime/key-group.js";
import type { Span } from "../../source/source-file.js";
import { alternativesOf } from "./alternatives.js";
import type { AttentionSystem } from "./attention-system.js";
import { DemandAnalysis, type GroupRows } from "./demand.js";
import { KEY, N, rowsBetween, stepContext } from "./group-relation.js";
import type { KeyGroup } from "./group-tokens.js";
import { liveForEver, liveKeys, liveThrough } from "./live-keys.js";
import { reachOf } from "./reach-of.js";
import { countRows, type RowSet, rowSetOf } from "./row-set.js";

export type RetentionLayout =
  /** Every key is kept. */
  | { readonly kind: "forever" }
  /** The last `slots` keys of the group are kept. */
  | { readonly kind: "ring"; readonly slots: number }
  /** The last `slots` keys are kept, and of those the ones in the chunk of position n only. */
  | { readonly kind: "ring-in-chunk"; readonly slots: number; readonly chunk: number }
  /** Keys are read within the step that wrote them only. */
  | { readonly kind: "step" }
  /** Keys are never read: they are not even projected. */
  | { readonly kind: "unread" };

export interface Retention {
  readonly group: string;
  readonly layout: RetentionLayout;
  /** Keys that the layout keeps between steps, in n, the number of positions so far. */
  readonly live: Expr;
  /** The kept keys that a later step really reads: exact, in n. */
  readonly read: RowSet;
  /** The part of the relation that forces the layout. */
  readonly reason: { readonly text: string; readonly span?: Span };
  /** Where keys with a limited lifetime have to be kept for ever. */
  readonly warning?: Diagnostic;
}

/** Per layer, per group in the order of the groups. Layers with equal demand and the same relation share one array. */
export function inferRetention(
  system: AttentionSystem,
  groups: readonly KeyGroup[],
  analysis = new DemandAnalysis(system, groups),
): Retention[][] {
  const known = new Map<GroupRows, Retention[]>();
  return system.layers.map((_, layer) => {
    const live = liveKeys(analysis, layer);
    const before = known.get(live);
    if (before !== undefined) return before;
    const result = groups.map((_, index) => retentionOf(analysis, layer, index));
    known.set(live, result);
    return result;
  });
}

function retentionOf(analysis: DemandAnalysis, layer: number, index: number): Retention {
  return analysis.exactOr(
    () => exactRetention(analysis, layer, index),
    () => keptForEver(analysis.groups[index]!),
  );
}

function exactRetention(analysis: DemandAnalysis, layer: number, index: number): Retention {
  const group = analysis.groups[index]!;
  const live = liveKeys(analysis, layer)[index]!;
  const predicate = analysis.system.layers[layer];
  const layout = layoutOf(analysis, layer, index, live);
  const kept = keptBy(layout, group);
  return {
    group: group.name,
    layout,
    live: kept,
    read: rowSetOf(group, live),
    reason: reasonFor(analysis, layer, index, layout),
    ...(layout.kind === "forever" && predicate !== undefined && group.endPos === undefined
      ? warningFor(analysis.system, predicate, group, live)
      : {}),
  };
}

/** What is right for every relation. */
function keptForEver(group: KeyGroup): Retention {
  const layout = { kind: "forever" } as const;
  return {
    group: group.name,
    layout,
    live: keptBy(layout, group),
    read: rowSetOf(group, keptRows(group, layout)),
    reason: { text: "the relation is too costly to analyse" },
  };
}

function layoutOf(analysis: DemandAnalysis, layer: number, index: number, live: IntegerSet): RetentionLayout {
  const group = analysis.groups[index]!;
  if (isEmpty(live)) return { kind: isEmpty(analysis.steadyLayers()[layer]!.keys[index]!) ? "unread" : "step" };
  const slots = reachOf(group, live);
  if (slots === undefined || holdsNoMoreThan(group, slots)) return { kind: "forever" };
  const predicate = analysis.system.predicates[analysis.system.layers[layer]!]!;
  const chunk = chunksOf(predicate).find((candidate) => endsWithChunk(group, live, candidate));
  return chunk === undefined ? { kind: "ring", slots } : { kind: "ring-in-chunk", slots, chunk };
}

/** Whether all keys that the group will ever have fit into what a ring takes, its own step included. */
const holdsNoMoreThan = (group: KeyGroup, slots: number): boolean =>
  group.endPos !== undefined && group.endPos * copiesIn(group) <= slots + copiesIn(group);

/** Whether no key outlives the chunk of its position. */
function endsWithChunk(group: KeyGroup, live: IntegerSet, chunk: number): boolean {
  const chunkStart = scale(floorOf(N, chunk), chunk * copiesIn(group));
  return areDisjoint(live, where(stepContext, less(KEY, chunkStart)));
}

/** The divisors of positions in a relation, ascending: the chunks that it may speak of. */
function chunksOf(predicate: Predicate): number[] {
  const chunks = new Set<number>();
  const inTerm = (term: Term): void => {
    if (term.kind === "div" || term.kind === "mod") chunks.add(term.divisor);
    if (term.kind === "add") {
      inTerm(term.left);
      inTerm(term.right);
    } else if (term.kind === "scale" || term.kind === "div" || term.kind === "mod") inTerm(term.term);
  };
  const inPredicate = (part: Predicate): void => {
    if (part.kind === "compare") {
      inTerm(part.left);
      inTerm(part.right);
    } else if (part.kind === "not") inPredicate(part.part);
    else if (part.kind !== "constant") part.parts.forEach(inPredicate);
  };
  inPredicate(predicate);
  return [...chunks].filter((chunk) => chunk > 1).sort((a, b) => a - b);
}

function keptBy(layout: RetentionLayout, group: KeyGroup): Expr {
  const size = copiesIn(group);
  const { firstPos = 0, endPos } = group;
  // Of a whole sequence, the layout keeps the keys behind the first `end - kept`; of those the ones at the group's positions count.
  const kept = keptOfSequence(layout, size);
  if (kept === 0) return 0;
  if (endPos !== undefined) return max(0, min(kept, sub(add(kept, endPos * size), mul("n", size))));
  return firstPos === 0 ? kept : min(kept, mul(max(0, sub("n", firstPos)), size));
}

/** Of a group that has keys at all positions. */
function keptOfSequence(layout: RetentionLayout, size: number): Expr {
  switch (layout.kind) {
    case "forever":
      return mul("n", size);
    case "ring":
      return min(layout.slots, mul("n", size));
    case "ring-in-chunk":
      return min(layout.slots, mul(mod("n", layout.chunk), size));
    case "step":
    case "unread":
      return 0;
  }
}

/** Kept keys that no later step reads, after n positions: those that no simpler layout leaves out. */
export const unreadKeys = ({ live, read }: Retention, n: number): number =>
  evaluate(live, { n }) - countRows(read, { n });

/** The keys that a layout keeps after n positions. */
function keptRows(group: KeyGroup, layout: RetentionLayout): IntegerSet {
  const all = rowsBetween(group, constant(0), N);
  const end = scale(N, copiesIn(group));
  switch (layout.kind) {
    case "forever":
      return all;
    case "ring":
      return intersect(all, where(atMost(shift(end, -layout.slots), KEY)));
    case "ring-in-chunk": {
      const chunkStart = scale(floorOf(N, layout.chunk), layout.chunk * copiesIn(group));
      return intersect(all, where(atMost(shift(end, -layout.slots), KEY), atMost(chunkStart, KEY)));
    }
    case "step":
    case "unread":
      return [];
  }
}

/** The alternative of the relation, at its top level, that reads farthest back. */
function reasonFor(
  analysis: DemandAnalysis,
  layer: number,
  index: number,
  layout: RetentionLayout,
): Retention["reason"] {
  const group = analysis.groups[index]!;
  const which = analysis.system.layers[layer];
  if (which === undefined) return { text: "the layer has no attention" };
  const predicate = analysis.system.predicates[which]!;
  if (layout.kind === "unread") return reason("no query that a prediction depends on reads these keys", predicate);
  const { queries } = analysis.steadyLayers()[layer]!;
  let farthest: { readonly alternative: Predicate; readonly reach: number } | undefined;
  for (const alternative of alternativesOf(predicate)) {
    const reach =
      layout.kind === "step"
        ? isEmpty(analysis.keysSeen(alternative, queries, group))
          ? 0
          : 1
        : (reachOf(group, liveThrough(analysis, alternative, queries, group)) ?? Number.POSITIVE_INFINITY);
    if (farthest === undefined || reach > farthest.reach) farthest = { alternative, reach };
  }
  const alternative = farthest?.alternative ?? predicate;
  const clause = quotePredicate(alternative);
  switch (layout.kind) {
    case "forever":
      return reason(
        farthest?.reach === Number.POSITIVE_INFINITY
          ? `${clause} reads these keys at any distance`
          : `${clause} reads these keys, and a ring would hold all ${group.endPos! * copiesIn(group)} of them`,
        alternative,
      );
    case "ring":
      return reason(
        `${clause} reads ${layout.slots} ${layout.slots === 1 ? "key" : "keys"} back from the end of the sequence, and none farther`,
        alternative,
      );
    case "ring-in-chunk":
      return reason(
        `${clause} reads ${layout.slots} ${layout.slots === 1 ? "key" : "keys"} back from the end of the sequence, and none past a multiple of ${layout.chunk} positions`,
        alternative,
      );
    case "step":
      return reason(`${clause} reads these keys in the step that wrote them only`, alternative);
  }
}

function reason(text: string, { span }: Predicate): Retention["reason"] {
  return span === undefined ? { text } : { text, span };
}

/** A warning where some key that is kept for ever is read for a limited time. */
function warningFor(
  system: AttentionSystem,
  predicate: number,
  group: KeyGroup,
  live: IntegerSet,
): { readonly warning?: Diagnostic } {
  if (liveForEver(live) !== false) return {};
  const { span } = system.predicates[predicate]!;
  const labels = span === undefined ? [] : [label(span, "this relation bounds their lifetime, but not by a distance")];
  return { warning: relationDiagnostics.unboundedLifetime({ group: group.name }, ...labels) };
}
