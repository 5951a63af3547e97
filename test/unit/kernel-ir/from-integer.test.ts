import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { runKernel } from "../../../src/interpret/kernel/run-kernel.js";
import * as expr from "../../../src/ir/expr.js";
import { buildKernel, i32, select, u32 } from "../../../src/ir/kernel/builder.js";
import { floorDiv, floorMod, integerValue, predicateValue } from "../../../src/ir/kernel/from-integer.js";
import { type Predicate, sees, type Term } from "../../../src/ir/relation/predicate.js";

const options = { doc: "One value.", dispatch: "one workgroup", workgroupSize: 1 };

function runExpr(tree: expr.Expr, environment: expr.Environment): number {
  const kernel = buildKernel("value", options, (k) => {
    const out = k.readWrite("out", "i32");
    const values = Object.fromEntries(Object.keys(environment).map((name) => [name, k.param(name, "i32")]));
    out.set(0, integerValue(k, tree, { values }));
  });
  const out = new Int32Array(1);
  runKernel(kernel, { buffers: { out }, params: environment, workgroups: [1, 1, 1] });
  return out[0]!;
}

const leaf = fc.oneof(fc.integer({ min: -50, max: 50 }), fc.constantFrom("a", "b"));
const positive = fc.integer({ min: 1, max: 17 });
const { tree } = fc.letrec<{ tree: expr.Expr }>((tie) => ({
  tree: fc.oneof(
    { depthSize: "small" },
    leaf,
    fc.tuple(tie("tree"), tie("tree")).map(([a, b]) => expr.add(a, b)),
    fc.tuple(tie("tree"), tie("tree")).map(([a, b]) => expr.sub(a, b)),
    fc.tuple(tie("tree"), fc.integer({ min: -9, max: 9 })).map(([a, b]) => expr.mul(a, b)),
    fc.tuple(tie("tree"), positive).map(([a, b]) => expr.div(a, b)),
    fc.tuple(tie("tree"), positive).map(([a, b]) => expr.mod(a, b)),
    fc.tuple(tie("tree"), tie("tree")).map(([a, b]) => expr.min(a, b)),
    fc.tuple(tie("tree"), tie("tree")).map(([a, b]) => expr.max(a, b)),
    fc.tuple(tie("tree"), tie("tree")).map(([a, b]) => expr.le(a, b)),
    fc.tuple(tie("tree"), tie("tree")).map(([a, b]) => expr.eq(a, b)),
    fc.tuple(tie("tree"), tie("tree"), tie("tree")).map(([a, b, c]) => expr.select(a, b, c)),
  ),
}));

const coordinate = fc
  .constantFrom("q.pos", "q.copy", "k.pos", "k.copy")
  .map((name): Term => ({ kind: "coordinate", name }) as Term);
const { term } = fc.letrec<{ term: Term }>((tie) => ({
  term: fc.oneof(
    { depthSize: "small" },
    coordinate,
    fc.integer({ min: -20, max: 20 }).map((value): Term => ({ kind: "constant", value })),
    fc.tuple(tie("term"), tie("term")).map(([left, right]): Term => ({ kind: "add", left, right })),
    fc
      .tuple(fc.integer({ min: -4, max: 4 }), tie("term"))
      .map(([factor, inner]): Term => ({ kind: "scale", factor, term: inner })),
    fc.tuple(tie("term"), positive).map(([inner, divisor]): Term => ({ kind: "div", term: inner, divisor })),
    fc.tuple(tie("term"), positive).map(([inner, divisor]): Term => ({ kind: "mod", term: inner, divisor })),
  ),
}));
const { predicate } = fc.letrec<{ predicate: Predicate }>((tie) => ({
  predicate: fc.oneof(
    { depthSize: "small" },
    fc
      .tuple(fc.constantFrom("==", "!=", "<", "<=", ">", ">="), term, term)
      .map(([operator, left, right]): Predicate => ({ kind: "compare", operator, left, right }) as Predicate),
    fc.boolean().map((value): Predicate => ({ kind: "constant", value })),
    fc.array(tie("predicate"), { maxLength: 3 }).map((parts): Predicate => ({ kind: "and", parts })),
    fc.array(tie("predicate"), { maxLength: 3 }).map((parts): Predicate => ({ kind: "or", parts })),
    tie("predicate").map((part): Predicate => ({ kind: "not", part })),
  ),
}));

describe("integers in kernels", () => {
  it("have the value of their expression, whatever the signs", () => {
    fc.assert(
      fc.property(tree, fc.integer({ min: -99, max: 99 }), fc.integer({ min: -99, max: 99 }), (expression, a, b) => {
        expect(runExpr(expression, { a, b })).toBe(expr.evaluate(expression, { a, b }) | 0);
      }),
      { numRuns: 300 },
    );
  });

  it("divide by floor and take non-negative remainders on both sides of zero", () => {
    const kernel = buildKernel("divide", { ...options, workgroupSize: 41 }, (k) => {
      const out = k.readWrite("out", "i32");
      const divisor = k.param("divisor", "i32");
      const value = k.let("value", k.localId.toI32().sub(20));
      [floorDiv(k, value, divisor), floorMod(k, value, divisor), floorDiv(k, value, 8), floorMod(k, value, 8)].forEach(
        (result, column) => {
          out.set(k.localId.mul(4).add(column), result);
        },
      );
    });
    const out = new Int32Array(41 * 4);
    runKernel(kernel, { buffers: { out }, params: { divisor: 7 }, workgroups: [1, 1, 1] });
    for (let value = -20; value <= 20; value++) {
      const results = [...out.subarray((value + 20) * 4, (value + 21) * 4)];
      const floor = (divisor: number) => Math.floor(value / divisor);
      expect(results).toEqual([floor(7), value - 7 * floor(7), floor(8), value - 8 * floor(8)]);
    }
  });

  it("decide who sees whom exactly as the predicate does", () => {
    const token = fc.record({ pos: fc.integer({ min: 0, max: 40 }), copy: fc.integer({ min: 1, max: 4 }) });
    fc.assert(
      fc.property(predicate, token, token, (rule, query, key) => {
        const kernel = buildKernel("sees", options, (k) => {
          const out = k.readWrite("out", "u32");
          const coordinates = {
            "q.pos": k.param("q_pos"),
            "q.copy": k.param("q_copy"),
            "k.pos": k.param("k_pos"),
            "k.copy": k.param("k_copy"),
          };
          out.set(0, select(predicateValue(k, rule, coordinates), u32(1), u32(0)));
        });
        const out = new Uint32Array(1);
        const params = { q_pos: query.pos, q_copy: query.copy, k_pos: key.pos, k_copy: key.copy };
        runKernel(kernel, { buffers: { out }, params, workgroups: [1, 1, 1] });
        expect(out[0]).toBe(sees(rule, query, key) ? 1 : 0);
      }),
      { numRuns: 300 },
    );
  });

  it("leave no trace of a coordinate that is known when the kernel is built", () => {
    const kernel = buildKernel("known", options, (k) => {
      const rule: Predicate = {
        kind: "compare",
        operator: ">",
        left: { kind: "coordinate", name: "k.copy" },
        right: { kind: "constant", value: 1 },
      };
      const zero = i32(0);
      const known = predicateValue(k, rule, { "q.pos": zero, "q.copy": zero, "k.pos": zero, "k.copy": i32(1) });
      expect(known.expression).toEqual({ kind: "constant", type: "bool", value: 0 });
    });
    expect(kernel.body).toEqual([]);
  });
});
