import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DiagnosticError } from "../../../src/diagnostics/diagnostic.js";
import { evaluate } from "../../../src/ir/expr.js";
import {
  type Affine,
  constant,
  evaluateForm,
  floorOf,
  keyOf,
  minus,
  plus,
  remainderOf,
  scale,
  shift,
  toExpr,
  variable,
} from "../../../src/ir/relation/affine.js";
import { atLeastZero, equalZero } from "../../../src/ir/relation/constraint.js";
import { setOfPredicate } from "../../../src/ir/relation/from-predicate.js";
import {
  atMost,
  complement,
  contains,
  equal,
  type IntegerSet,
  intersect,
  isEmpty,
  isEqual,
  less,
  printSet,
  project,
  simplify,
  substitute,
  union,
  universe,
  where,
} from "../../../src/ir/relation/integer-set.js";
import { intervalOf } from "../../../src/ir/relation/interval.js";
import { printPredicate } from "../../../src/ir/relation/print-predicate.js";
import { samplePoint } from "../../../src/ir/relation/sample.js";
import { attempt, withBudget } from "../../../src/ir/relation/work.js";
import {
  and,
  arbitraryPredicate,
  at,
  compare,
  minus as difference,
  div,
  mod,
  num,
  or,
  plus as sum,
  times,
} from "./arbitrary-predicate.js";

const x = variable("x");
const y = variable("y");
const z = variable("z");

const leaf: fc.Arbitrary<Affine> = fc.oneof(fc.constantFrom(x, y), fc.integer({ min: -9, max: 9 }).map(constant));

const { form } = fc.letrec<{ form: Affine }>((tie) => ({
  form: fc.oneof(
    { maxDepth: 4 },
    leaf,
    fc.tuple(tie("form"), tie("form")).map(([a, b]) => plus(a, b)),
    fc.tuple(tie("form"), fc.integer({ min: -4, max: 4 })).map(([a, factor]) => scale(a, factor)),
    fc.tuple(tie("form"), fc.integer({ min: 1, max: 9 })).map(([a, divisor]) => floorOf(a, divisor)),
    fc.tuple(tie("form"), fc.integer({ min: 1, max: 9 })).map(([a, divisor]) => remainderOf(a, divisor)),
  ),
}));

const value = fc.integer({ min: -50, max: 50 });

const codesOf = (compute: () => unknown): string[] => {
  try {
    compute();
  } catch (error) {
    if (error instanceof DiagnosticError) return error.diagnostics.map(({ code, message }) => `${code} ${message}`);
    throw error;
  }
  return [];
};

describe("quasi-affine forms", () => {
  it("keep their value when a quotient is brought to canonical form", () => {
    fc.assert(
      fc.property(form, fc.integer({ min: 1, max: 12 }), value, value, (numerator, divisor, vx, vy) => {
        const at = { x: vx, y: vy };
        const quotient = Math.floor(evaluateForm(numerator, at) / divisor);
        expect(evaluateForm(floorOf(numerator, divisor), at)).toBe(quotient);
      }),
      { numRuns: 1000 },
    );
  });

  it("have the same value as expressions that a kernel can print", () => {
    fc.assert(
      fc.property(form, value, value, (any, vx, vy) => {
        expect(evaluate(toExpr(any), { x: vx, y: vy })).toBe(evaluateForm(any, { x: vx, y: vy }));
      }),
      { numRuns: 500 },
    );
  });

  it("merge nested quotients and pull whole multiples out", () => {
    expect(keyOf(floorOf(floorOf(x, 3), 4))).toBe("⌊x/12⌋");
    expect(keyOf(floorOf(plus(scale(x, 8), constant(13)), 4))).toBe("2*x+3");
    expect(keyOf(floorOf(plus(scale(x, 6), constant(9)), 4))).toBe(keyOf(plus(x, floorOf(plus(x, constant(4)), 2))));
    expect(keyOf(plus(floorOf(x, 2), floorOf(scale(x, -1), 2)))).toBe("-x+2*⌊x/2⌋");
  });

  it("keep constraints with their meaning in normal form", () => {
    fc.assert(
      fc.property(form, value, value, (any, vx, vy) => {
        const at = { x: vx, y: vy };
        expect(contains(where(atLeastZero(any)), at)).toBe(evaluateForm(any, at) >= 0);
        expect(contains(where(equalZero(any)), at)).toBe(evaluateForm(any, at) === 0);
      }),
      { numRuns: 1000 },
    );
  });
});

describe("sets of integers", () => {
  it("merge what touches and drop what is contained", () => {
    const pieces = union(where(less(x, y)), where(equal(x, y)), where(atMost(x, shift(y, -5))));
    expect(printSet(simplify(pieces))).toBe("-x+y>=0");
  });

  it("drop constraints that the others imply", () => {
    const set = where(atMost(constant(0), x), atMost(x, constant(3)), atMost(x, scale(y, 2)), atMost(constant(5), y));
    expect(printSet(simplify(set))).toBe("-x+3>=0 ∧ x>=0 ∧ y-5>=0");
  });

  it("solve for positions when a chunk is known", () => {
    const inChunk = where(equal(floorOf(x, 4), y), atMost(constant(2), remainderOf(x, 4)));
    expect(printSet(simplify(inChunk))).toBe("-x+4*y+3>=0 ∧ x-4*y-2>=0");
  });

  it("have a complement", () => {
    const set = union(where(less(x, y)), where(equal(remainderOf(x, 3), constant(1))));
    expect(isEmpty(intersect(set, complement(set)))).toBe(true);
    expect(isEqual(union(set, complement(set)), universe)).toBe(true);
  });

  it("project to congruences and to rounded quotients", () => {
    expect(printSet(project(where(equal(x, scale(y, 3))), ["y"]))).toBe(
      printSet(where(equal(x, scale(floorOf(x, 3), 3)))),
    );
    // Some multiple of 3 lies between x and y.
    const between = where(atMost(x, scale(z, 3)), atMost(scale(z, 3), y));
    const some = simplify(project(between, ["z"]));
    for (let vx = -7; vx < 8; vx++) {
      for (let vy = -7; vy < 8; vy++) {
        expect(contains(some, { x: vx, y: vy })).toBe(Math.floor(vy / 3) * 3 >= vx);
      }
    }
  });

  it("need no splinters where two multiples are at most one gap apart", () => {
    // 255·z + 1 <= x <= 255·z + 16: 16 positions in 255, not 255 cases.
    const near = where(atMost(shift(scale(z, 255), 1), x), atMost(x, shift(scale(z, 255), 16)));
    const projected = project(near, ["z"]);
    expect(projected).toHaveLength(1);
    expect([0, 1, 16, 17, 255, 256, -254, -239, -238].map((vx) => contains(projected, { x: vx }))).toEqual([
      ...[false, true, true, false, false, true, true, true, false],
    ]);
  });

  it("bound a variable by expressions in the others", () => {
    const [part] = where(atMost(scale(x, 2), y), atMost(constant(0), x), less(z, shift(x, 3)));
    const { lower, upper } = intervalOf(part!, "x");
    const at = { y: 9, z: 4 };
    expect(lower.map((bound) => evaluate(bound, at)).sort()).toEqual([0, 2]);
    expect(upper.map((bound) => evaluate(bound, at))).toEqual([5]);
  });

  it("bound a variable also where only congruences say so", () => {
    const [part] = where(atLeastZero(minus(plus(scale(floorOf(x, 3), 2), constant(1)), x)), atMost(constant(0), x));
    const { upper } = intervalOf(part!, "x");
    expect(upper.map((bound) => evaluate(bound, {}))).toEqual([4]);
  });

  it("replace variables inside quotients", () => {
    const set = substitute(where(equal(floorOf(x, 4), y)), { x: plus(scale(z, 4), constant(3)) });
    expect(printSet(simplify(set))).toBe("y-z=0");
  });
});

describe("a witness", () => {
  const names = ["q.pos", "q.copy", "k.pos", "k.copy"];
  const POSITIVE: IntegerSet = where(...names.map((name) => atMost(constant(0), variable(name))));

  it("is the smallest point, and there is one exactly when the set is not empty", () => {
    fc.assert(
      fc.property(arbitraryPredicate, (predicate) => {
        const set = attempt(100_000, () => intersect(setOfPredicate(predicate), POSITIVE));
        fc.pre(set !== undefined);
        const point = attempt(100_000, () => ({ found: samplePoint(set, names) }));
        fc.pre(point !== undefined);
        if (point.found === undefined) expect(attempt(100_000, () => isEmpty(set))).not.toBe(false);
        else expect(contains(set, point.found)).toBe(true);
      }),
      { numRuns: 200, maxSkipsPerRun: 0.1 },
    );
  });

  it("is found far away, without looking at what lies before", () => {
    const far = where(
      equal(remainderOf(x, 1000), constant(7)),
      equal(remainderOf(x, 1001), constant(9)),
      atMost(constant(10 ** 6), x),
      atMost(constant(0), y),
      equal(plus(x, scale(y, -3)), constant(0)),
    );
    const point = samplePoint(far, ["y", "x"])!;
    expect([point["x"]! % 1000, point["x"]! % 1001, point["x"]! >= 10 ** 6, point["x"]! === 3 * point["y"]!]).toEqual([
      ...[7, 9, true, true],
    ]);
  });
});

describe("an analysis that costs too much", () => {
  const hard = Array.from({ length: 6 }, (_, i) =>
    where(less(constant(1), remainderOf(plus(scale(x, 2 * i + 3), scale(y, i + 1)), 89 - i))),
  );

  it("gives up with the term that costs most", () => {
    const reports = codesOf(() =>
      withBudget({ units: 500, analysis: "a hard relation", costly: () => ({ text: "q.pos mod 89" }) }, () =>
        simplify(hard.reduce(intersect)),
      ),
    );
    expect(reports).toEqual([
      "PHD0405 The analysis of a hard relation gave up after 500 steps; the costly term is `q.pos mod 89`",
    ]);
  });

  it("is left undone where its result would only save time", () => {
    expect(attempt(500, () => simplify(hard.reduce(intersect)))).toBeUndefined();
    expect(attempt(500, () => "cheap")).toBe("cheap");
  });

  it("never rounds: integers beyond 2^53 are refused", () => {
    // 94906267² > 2^53
    const reports = codesOf(() =>
      project(where(atMost(x, scale(z, 94906267)), atMost(scale(z, 94906265), scale(y, 94906263))), ["z"]),
    );
    expect(reports).toEqual(["PHD0406 The analysis of the attend relation needs integers of 2^53 and more"]);
  });
});

describe("a printed predicate", () => {
  it("reads like the text that a user could have written", () => {
    const predicate = or(
      and(compare(at("k.copy"), "==", num(1)), compare(at("k.pos"), "<", at("q.pos"))),
      and(
        or(compare(at("q.copy"), ">", num(1)), compare(mod(at("k.pos"), 2), "!=", num(0))),
        compare(difference(at("q.pos"), at("k.pos")), "<=", num(4)),
        compare(div(sum(at("q.pos"), num(-1)), 8), "==", div(at("k.pos"), 8)),
        compare(times(3, sum(at("q.pos"), at("k.pos"))), ">=", num(7)),
      ),
    );
    expect(printPredicate(predicate)).toBe(
      "k.copy == 1 and k.pos < q.pos or (q.copy > 1 or k.pos mod 2 != 0) and q.pos - k.pos <= 4 and " +
        "(q.pos - 1) div 8 == k.pos div 8 and 3 * (q.pos + k.pos) >= 7",
    );
  });
});
