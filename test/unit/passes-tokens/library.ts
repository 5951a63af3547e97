/** The five variants of the library and a few that nobody named, as predicates and in models. */
import type { Predicate, Term } from "../../../src/ir/relation/predicate.js";
import type { AttentionSystem } from "../../../src/passes/tokens/attention-system.js";
import { and, at, compare, div, minus, mod, num, or, plus, times } from "../relation/arbitrary-predicate.js";

const qPos = at("q.pos");
const qCopy = at("q.copy");
const kPos = at("k.pos");
const kCopy = at("k.copy");

const hidden = (pos: Term, copy: Term, K: number): Term => plus(plus(times(K - 1, pos), copy), num(-2));

export const original = and(compare(kCopy, "==", num(1)), compare(kPos, "<", qPos));
export const own = and(compare(kPos, "==", qPos), compare(kCopy, "<=", qCopy));
export const recent = (K: number, W: number): Predicate =>
  and(
    compare(qCopy, ">", num(1)),
    compare(kCopy, ">", num(1)),
    compare(kPos, "<", qPos),
    compare(minus(hidden(qPos, qCopy, K), hidden(kPos, kCopy, K)), "<=", num(W)),
  );
export const recentPositions = (W: number): Predicate =>
  and(
    compare(qCopy, ">", num(1)),
    compare(kCopy, ">", num(1)),
    compare(kPos, "<", qPos),
    compare(minus(qPos, kPos), "<=", num(W)),
  );
/** Hidden tokens of earlier positions. */
export const hiddenPast = and(compare(qCopy, ">", num(1)), compare(kCopy, ">", num(1)), compare(kPos, "<", qPos));
/** Chunks of hidden tokens, which may end in the middle of a position. */
export const sameHiddenChunk = (K: number, size: number): Predicate =>
  compare(div(hidden(qPos, qCopy, K), size), "==", div(hidden(kPos, kCopy, K), size));
export const sameChunk = (C: number): Predicate => compare(div(qPos, C), "==", div(kPos, C));

export const vanilla = compare(kPos, "<=", qPos);
export const naive = or(compare(kPos, "<", qPos), own);
export const phd = or(original, own);
export const phdSwa = (K: number, W: number): Predicate => or(phd, recent(K, W));
export const phdSwaPositions = (W: number): Predicate => or(phd, recentPositions(W));
export const phdCswa = (K: number, W: number, C: number): Predicate => or(phd, and(recent(K, W), sameChunk(C)));

/** A plain sliding window of W positions, the query's own among them. */
export const slidingWindow = (W: number): Predicate => and(vanilla, compare(minus(qPos, kPos), "<", num(W)));
/** The first S positions for ever, and a window. */
export const sinks = (S: number, W: number): Predicate =>
  or(and(compare(kPos, "<", num(S)), vanilla), slidingWindow(W));
/** Every d-th position of a window. */
export const dilated = (W: number, d: number): Predicate =>
  and(slidingWindow(W), compare(mod(minus(qPos, kPos), d), "==", num(0)));
/** Hidden copies see originals at even positions only. */
export const evenOriginals = or(
  and(original, or(compare(qCopy, "==", num(1)), compare(mod(kPos, 2), "==", num(0)))),
  own,
);
/** Keys that live as long again as they are old. */
export const doubling = and(vanilla, compare(qPos, "<=", times(2, kPos)));

/** Each third position is seen by other copies; two layers of it are followed place by place. */
export const copiesInTurn = or(
  and(compare(mod(times(2, kCopy), 5), ">=", mod(plus(kPos, qCopy), 3)), vanilla),
  and(compare(kPos, "==", qPos), compare(kCopy, "==", qCopy)),
);

/** A model of equal layers that predicts from the last copy. */
export const modelOf = (copies: number, predicate: Predicate, layers: number): AttentionSystem => ({
  copies,
  predictCopy: copies,
  predicates: [predicate],
  layers: Array.from({ length: layers }, () => 0),
});

/** A model whose layers take turns with their relations. */
export const alternating = (copies: number, predicates: readonly Predicate[], layers: number): AttentionSystem => ({
  copies,
  predictCopy: copies,
  predicates,
  layers: Array.from({ length: layers }, (_, layer) => layer % predicates.length),
});

/** Models that what is derived is held against brute force with. */
export const systems: readonly (readonly [string, AttentionSystem])[] = [
  ["vanilla", modelOf(1, vanilla, 3)],
  ["a sliding window", modelOf(1, slidingWindow(4), 3)],
  ["sinks and a window", modelOf(1, sinks(2, 3), 3)],
  ["a dilated window", modelOf(1, dilated(6, 3), 3)],
  ["lifetimes that double", modelOf(1, doubling, 2)],
  ["naive repetition", modelOf(3, naive, 3)],
  ["PHD", modelOf(3, phd, 3)],
  ["PHD-SWA", modelOf(3, phdSwa(3, 4), 3)],
  ["PHD-SWA in positions", modelOf(3, phdSwaPositions(2), 3)],
  ["PHD-SWA with W < K - 2", modelOf(6, phdSwa(6, 2), 3)],
  ["PHD-SWA with W = 0", modelOf(3, phdSwa(3, 0), 3)],
  ["PHD-CSWA", modelOf(3, phdCswa(3, 4, 6), 3)],
  ["PHD-CSWA with a window beyond the chunk", modelOf(3, phdCswa(3, 16, 4), 3)],
  ["PHD-CSWA with W < K - 2", modelOf(6, phdCswa(6, 2, 4), 3)],
  ["even originals", modelOf(3, evenOriginals, 2)],
  ["layers that take turns", alternating(3, [phdSwa(3, 3), phd, phdCswa(3, 4, 5)], 5)],
  ["copies that are seen in turn", modelOf(4, copiesInTurn, 2)],
  ["chunks that cut through positions", modelOf(4, or(phd, and(hiddenPast, sameHiddenChunk(4, 10))), 5)],
  ["layers with a window of originals between layers without", alternating(1, [vanilla, slidingWindow(3)], 4)],
];

const scrambled = (q: number, k: number, divisor: number): Term => mod(plus(times(q, qPos), times(k, kPos)), divisor);
/** A relation that is too costly to follow exactly. */
export const costly = and(
  vanilla,
  compare(scrambled(2, 3, 7), "<", scrambled(3, 1, 5)),
  compare(scrambled(1, 2, 4), "!=", scrambled(1, 3, 9)),
);
