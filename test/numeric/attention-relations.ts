/** Relations for attention tests, as passes would hand them to a kernel: the predicate, its key groups and their bounds. */
import { add, div, type Expr, le, max, min, mul, select, sub } from "../../src/ir/expr.js";
import type { AttendPart, KeyGroup } from "../../src/ir/graph/ops.js";
import type { Comparison, Coordinate, Predicate, Term } from "../../src/ir/relation/predicate.js";
import type { Relation } from "./attention-reference.js";

const at = (name: Coordinate): Term => ({ kind: "coordinate", name });
const number = (value: number): Term => ({ kind: "constant", value });
const plus = (left: Term, right: Term): Term => ({ kind: "add", left, right });
const times = (factor: number, term: Term): Term => ({ kind: "scale", factor, term });
const minus = (left: Term, right: Term): Term => plus(left, times(-1, right));
const compare = (left: Term, operator: Comparison, right: Term): Predicate => ({
  kind: "compare",
  operator,
  left,
  right,
});
const all = (...parts: Predicate[]): Predicate => ({ kind: "and", parts });
const any = (...parts: Predicate[]): Predicate => ({ kind: "or", parts });

const earlier = compare(at("k.pos"), "<", at("q.pos"));
const samePosition = compare(at("k.pos"), "==", at("q.pos"));
const own = all(samePosition, compare(at("k.copy"), "<=", at("q.copy")));
const original = all(compare(at("k.copy"), "==", number(1)), earlier);
const bothHidden = all(compare(at("q.copy"), ">", number(1)), compare(at("k.copy"), ">", number(1)));

/** Place among the hidden tokens, in stream order. */
const hiddenPlace = (token: "q" | "k", copies: number): Term =>
  plus(times(copies - 1, at(`${token}.pos`)), plus(at(`${token}.copy`), number(-2)));

const groupsOf = (copies: number): KeyGroup[] => [
  { name: "originals", firstCopy: 1, lastCopy: 1 },
  ...(copies > 1 ? [{ name: "hidden", firstCopy: 2, lastCopy: copies }] : []),
];

const originalsPart: AttendPart = { group: "originals", density: "dense", lo: 0, hi: add("q_pos", 1) };

/** Every hidden copy that a query sees before its own position starts here; own copies follow up to the query's. */
const hiddenPart = (copies: number, localFrom: Expr): AttendPart => {
  const ownFrom = mul("q_pos", copies - 1);
  const hi = sub(add(ownFrom, "q_copy"), 1);
  return { group: "hidden", density: "dense", lo: select(le("q_copy", 1), hi, min(ownFrom, localFrom)), hi };
};

export const vanilla: Relation = {
  name: "vanilla",
  copies: 1,
  predicate: compare(at("k.pos"), "<=", at("q.pos")),
  groups: groupsOf(1),
  parts: [originalsPart],
};

export const naive = (copies: number): Relation => ({
  name: `naive repetition ${copies}`,
  copies,
  predicate: any(earlier, own),
  groups: [{ name: "tokens", firstCopy: 1, lastCopy: copies }],
  parts: [{ group: "tokens", density: "dense", lo: 0, hi: add(mul("q_pos", copies), "q_copy") }],
});

export const phd = (copies: number): Relation => ({
  name: `PHD-${copies}`,
  copies,
  predicate: any(original, own),
  groups: groupsOf(copies),
  parts: [originalsPart, hiddenPart(copies, mul("q_pos", copies - 1))],
});

export const phdSwa = (copies: number, window: number): Relation => {
  const near = compare(minus(hiddenPlace("q", copies), hiddenPlace("k", copies)), "<=", number(window));
  const place = sub(add(mul("q_pos", copies - 1), "q_copy"), 2);
  return {
    name: `PHD-SWA-${copies}-${window}`,
    copies,
    predicate: any(original, own, all(bothHidden, earlier, near)),
    groups: groupsOf(copies),
    parts: [originalsPart, hiddenPart(copies, max(sub(place, window), 0))],
  };
};

export const phdCswa = (copies: number, window: number, chunk: number): Relation => {
  const near = compare(minus(hiddenPlace("q", copies), hiddenPlace("k", copies)), "<=", number(window));
  const chunkOf = (name: Coordinate): Term => ({ kind: "div", term: at(name), divisor: chunk });
  const sameChunk = compare(chunkOf("q.pos"), "==", chunkOf("k.pos"));
  const place = sub(add(mul("q_pos", copies - 1), "q_copy"), 2);
  const chunkFrom = mul(div("q_pos", chunk), chunk * (copies - 1));
  return {
    name: `PHD-CSWA-${copies}-${window}-${chunk}`,
    copies,
    predicate: any(original, own, all(bothHidden, earlier, near, sameChunk)),
    groups: groupsOf(copies),
    parts: [originalsPart, hiddenPart(copies, max(sub(place, window), chunkFrom))],
  };
};

/** Only every `step`-th position back is seen, `reach` positions at most; the bounds alone do not say which. */
export const dilated = (copies: number, step: number, reach: number): Relation => {
  const distance = minus(at("q.pos"), at("k.pos"));
  const onStep = compare({ kind: "mod", term: distance, divisor: step }, "==", number(0));
  const bounds = (copiesInGroup: number): Pick<AttendPart, "density" | "lo" | "hi"> => ({
    density: "ranged",
    lo: max(mul(sub("q_pos", reach), copiesInGroup), 0),
    hi: mul(add("q_pos", 1), copiesInGroup),
  });
  return {
    name: `every ${step}th of ${reach} positions, ${copies} copies`,
    copies,
    predicate: all(any(earlier, own), onStep, compare(distance, "<=", number(reach))),
    groups: groupsOf(copies),
    parts: [{ group: "originals", ...bounds(1) }, ...(copies > 1 ? [{ group: "hidden", ...bounds(copies - 1) }] : [])],
  };
};

/** Only keys at even positions, and the query's own copies. */
export const evenPositions = (copies: number): Relation => {
  const even = compare({ kind: "mod", term: at("k.pos"), divisor: 2 }, "==", number(0));
  return {
    name: `even positions, ${copies} copies`,
    copies,
    predicate: any(own, all(earlier, even)),
    groups: groupsOf(copies),
    parts: [
      { group: "originals", density: "ranged", lo: 0, hi: add("q_pos", 1) },
      ...(copies > 1
        ? [{ group: "hidden", density: "ranged", lo: 0, hi: mul(add("q_pos", 1), copies - 1) } as const]
        : []),
    ],
  };
};

/** Hidden queries see nothing but themselves; no key of copy 1 is ever read by them, and originals see only themselves. */
export const lonely = (copies: number): Relation => ({
  name: `own copy only, ${copies} copies`,
  copies,
  predicate: all(samePosition, compare(at("k.copy"), "==", at("q.copy")), compare(at("k.copy"), ">", number(1))),
  groups: groupsOf(copies),
  parts: [
    { group: "originals", density: "empty", lo: 0, hi: 0 },
    { group: "hidden", density: "ranged", lo: mul("q_pos", copies - 1), hi: mul(add("q_pos", 1), copies - 1) },
  ],
});
