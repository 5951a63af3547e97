/** Random trees of the small languages inside graph text. */
import fc from "fast-check";
import type { Expr } from "../../src/ir/expr.js";
import type { ElementExpr, ValueId } from "../../src/ir/graph/ops.js";
import type { Predicate, Term } from "../../src/ir/relation/predicate.js";

const integer = fc.integer({ min: -9, max: 9 });

export const exprs: fc.Arbitrary<Expr> = fc.letrec<{ expr: Expr }>((tie) => {
  const many = fc.array(tie("expr"), { minLength: 0, maxLength: 3 });
  const two = fc.tuple(tie("expr"), tie("expr"));
  const three = fc.tuple(tie("expr"), tie("expr"), tie("expr"));
  return {
    expr: fc.oneof(
      { maxDepth: 4 },
      integer,
      fc.constantFrom("q_pos", "q_copy", "n"),
      fc.record({ op: fc.constantFrom("add", "mul", "min", "max"), args: many }),
      fc.record({ op: fc.constantFrom("sub", "div", "mod", "le", "eq"), args: two }),
      fc.record({ op: fc.constant("select"), args: three }),
    ) as fc.Arbitrary<Expr>,
  };
}).expr;

const { term, predicate } = fc.letrec<{ term: Term; predicate: Predicate }>((tie) => {
  const divisor = fc.integer({ min: 1, max: 5 });
  const parts = fc.array(tie("predicate"), { minLength: 0, maxLength: 3 });
  return {
    term: fc.oneof(
      { maxDepth: 3 },
      fc.record({ kind: fc.constant("constant"), value: integer }),
      fc.record({ kind: fc.constant("coordinate"), name: fc.constantFrom("q.pos", "q.copy", "k.pos", "k.copy") }),
      fc.record({ kind: fc.constant("add"), left: tie("term"), right: tie("term") }),
      fc.record({ kind: fc.constant("scale"), factor: integer, term: tie("term") }),
      fc.record({ kind: fc.constantFrom("div", "mod"), term: tie("term"), divisor }),
    ) as fc.Arbitrary<Term>,
    predicate: fc.oneof(
      { maxDepth: 3 },
      fc.record({
        kind: fc.constant("compare"),
        operator: fc.constantFrom("==", "!=", "<", "<=", ">", ">="),
        left: tie("term"),
        right: tie("term"),
      }),
      fc.record({ kind: fc.constant("constant"), value: fc.boolean() }),
      fc.record({ kind: fc.constantFrom("and", "or"), parts }),
      fc.record({ kind: fc.constant("not"), part: tie("predicate") }),
    ) as fc.Arbitrary<Predicate>,
  };
});
export const terms = term;
export const predicates = predicate;

/** Over the given values and two accumulators. */
export const elementExprs = (values: readonly ValueId[]): fc.Arbitrary<ElementExpr> =>
  fc.letrec<{ element: ElementExpr }>((tie) => ({
    element: fc.oneof(
      { maxDepth: 4 },
      fc.record({ kind: fc.constant("accumulator"), index: fc.nat({ max: 1 }) }),
      fc.record({ kind: fc.constant("operand"), value: fc.constantFrom(...values) }),
      fc.record({
        kind: fc.constant("unary"),
        function: fc.constantFrom("silu", "gelu-tanh", "relu", "sigmoid", "tanh", "negate"),
        input: tie("element"),
      }),
      fc.record({
        kind: fc.constant("binary"),
        function: fc.constantFrom("add", "subtract", "multiply"),
        left: tie("element"),
        right: tie("element"),
      }),
      fc.record({
        kind: fc.constant("scale"),
        input: tie("element"),
        factor: fc.double({ noNaN: true, noDefaultInfinity: true }),
        offset: integer,
      }),
    ) as fc.Arbitrary<ElementExpr>,
  })).element;
