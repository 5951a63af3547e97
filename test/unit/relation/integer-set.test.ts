import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { constant, variable } from "../../../src/ir/relation/affine.js";
import { setOfPredicate } from "../../../src/ir/relation/from-predicate.js";
import {
  atMost,
  contains,
  type IntegerSet,
  intersect,
  isEmpty,
  isEqual,
  isSubset,
  project,
  simplify,
  subtract,
  union,
  where,
} from "../../../src/ir/relation/integer-set.js";
import { type Predicate, sees } from "../../../src/ir/relation/predicate.js";
import { attempt } from "../../../src/ir/relation/work.js";
import { and, arbitraryPredicate, at, compare, div, minus, mod, num, or, plus, times } from "./arbitrary-predicate.js";
import { affordable, mostly } from "./within-budget.js";

const POSITIONS = 6;
const COPIES = 3;

type Point = {
  readonly "q.pos": number;
  readonly "q.copy": number;
  readonly "k.pos": number;
  readonly "k.copy": number;
};

function* points(): Generator<Point> {
  for (let qp = 0; qp < POSITIONS; qp++)
    for (let qc = 1; qc <= COPIES; qc++)
      for (let kp = 0; kp < POSITIONS; kp++)
        for (let kc = 1; kc <= COPIES; kc++) yield { "q.pos": qp, "q.copy": qc, "k.pos": kp, "k.copy": kc };
}

const holds = (predicate: Predicate, point: Point) =>
  sees(predicate, { pos: point["q.pos"], copy: point["q.copy"] }, { pos: point["k.pos"], copy: point["k.copy"] });

const between = (name: string, from: number, to: number) =>
  where(atMost(constant(from), variable(name)), atMost(variable(name), constant(to)));

const box = [
  between("q.pos", 0, POSITIONS - 1),
  between("k.pos", 0, POSITIONS - 1),
  between("q.copy", 1, COPIES),
  between("k.copy", 1, COPIES),
].reduce(intersect);

const boxed = (predicate: Predicate): IntegerSet => intersect(setOfPredicate(predicate), box);

describe("the relation algebra agrees with brute force", () => {
  it("holds exactly the pairs that a predicate lets see each other", () => {
    fc.assert(
      fc.property(arbitraryPredicate, (predicate) => {
        const set = affordable(() => setOfPredicate(predicate));
        const simple = affordable(() => simplify(set));
        const wrong = [...points()].filter(
          (point) =>
            contains(set, point) !== holds(predicate, point) || contains(simple, point) !== holds(predicate, point),
        );
        expect(wrong).toEqual([]);
      }),
      { numRuns: 300, ...mostly },
    );
  });

  it("finds a set empty exactly when no pair is in it", () => {
    fc.assert(
      fc.property(arbitraryPredicate, arbitraryPredicate, (a, b) => {
        const empty = affordable(() => isEmpty(intersect(boxed(a), boxed(b))));
        expect(empty).toBe(![...points()].some((point) => holds(a, point) && holds(b, point)));
      }),
      { numRuns: 400, ...mostly },
    );
  });

  it("gives up what is too costly to multiply out, which has taken minutes without a budget", () => {
    const [qPos, qCopy, kPos, kCopy] = [at("q.pos"), at("q.copy"), at("k.pos"), at("k.copy")];
    const predicate = and(
      or(
        compare(qCopy, ">=", div(kPos, 5)),
        compare(div(kCopy, 3), ">=", num(0)),
        compare(mod(minus(qCopy, kCopy), 4), "<=", kCopy),
      ),
      or(
        compare(plus(times(3, qPos), kPos), "==", mod(plus(qCopy, kCopy), 2)),
        compare(mod(qCopy, 2), ">", qCopy),
        compare(kCopy, "<=", num(2)),
      ),
      compare(mod(minus(qPos, kPos), 3), "<=", mod(minus(qPos, kPos), 2)),
      compare(mod(plus(kCopy, qPos), 2), ">=", plus(qPos, kCopy)),
      compare(mod(plus(times(2, kCopy), num(3)), 3), "<=", kPos),
    );
    expect(attempt(200_000, () => setOfPredicate(predicate))).toBeUndefined();
  });

  it("projects queries away without losing or inventing a key", () => {
    fc.assert(
      fc.property(arbitraryPredicate, (predicate) => {
        const seen = affordable(() => project(boxed(predicate), ["q.pos", "q.copy"]));
        const simple = affordable(() => simplify(seen));
        const expected = new Set(
          [...points()].filter((point) => holds(predicate, point)).map((p) => `${p["k.pos"]}.${p["k.copy"]}`),
        );
        const wrong = [...points()].filter((point) => {
          const is = expected.has(`${point["k.pos"]}.${point["k.copy"]}`);
          return contains(seen, point) !== is || contains(simple, point) !== is;
        });
        expect(wrong).toEqual([]);
      }),
      { numRuns: 400, ...mostly },
    );
  });

  it("projects positions away where the copies stay", () => {
    fc.assert(
      fc.property(arbitraryPredicate, (predicate) => {
        const seen = affordable(() => project(boxed(predicate), ["q.pos", "k.pos"]));
        const expected = new Set(
          [...points()].filter((point) => holds(predicate, point)).map((p) => `${p["q.copy"]}.${p["k.copy"]}`),
        );
        const wrong = [...points()].filter(
          (point) => contains(seen, point) !== expected.has(`${point["q.copy"]}.${point["k.copy"]}`),
        );
        expect(wrong).toEqual([]);
      }),
      { numRuns: 300, ...mostly },
    );
  });

  it("subtracts, includes and compares as sets of pairs do", () => {
    fc.assert(
      fc.property(arbitraryPredicate, arbitraryPredicate, (a, b) => {
        const left = affordable(() => boxed(a));
        const right = affordable(() => boxed(b));
        const rest = affordable(() => subtract(left, right));
        const both = affordable(() => simplify(union(left, right)));
        const all = [...points()];
        const wrong = all.filter(
          (point) =>
            contains(rest, point) !== (holds(a, point) && !holds(b, point)) ||
            contains(both, point) !== (holds(a, point) || holds(b, point)),
        );
        expect(wrong).toEqual([]);
        const within = all.every((point) => !holds(a, point) || holds(b, point));
        expect(affordable(() => isSubset(left, right))).toBe(within);
        expect(affordable(() => isEqual(left, right))).toBe(
          within && all.every((point) => !holds(b, point) || holds(a, point)),
        );
      }),
      { numRuns: 300, ...mostly },
    );
  });
});
