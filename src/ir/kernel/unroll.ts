import { InternalError } from "../../diagnostics/diagnostic.js";
import type { Expression } from "./expressions.js";
import { foldInteger, isArithmetic } from "./fold.js";
import type { Kernel } from "./kernel.js";
import { constant } from "./make-expression.js";
import type { For, Statement } from "./statements.js";
import { declaredName, eachStatement, mapOperands, mapStatement } from "./walk.js";

/**
 * Writes out every loop that is marked `unroll`.
 *
 * Before: `for i in 0..2 unroll { let part = load acc[i]; … }`
 * After:  `let part = load acc[0]; …  let part_1 = load acc[1]; …`. Names stay unique, and index arithmetic on the loop variable
 *         is folded, so that register arrays are indexed by constants.
 */
export function expandUnrolled(kernel: Kernel): Kernel {
  const names = new Set([...kernel.buffers, ...kernel.params, ...kernel.arrays].map(({ name }) => name));
  let unrolls = false;
  eachStatement(kernel.body, (statement) => {
    const name = declaredName(statement);
    if (name !== undefined) names.add(name);
    unrolls ||= statement.kind === "for" && statement.unroll;
  });
  if (!unrolls) return kernel;
  return { ...kernel, body: expandBlock(kernel.body, new Map(), names) };
}

/** What a name means in the iteration that is being written: a constant, or another name. */
type Meanings = ReadonlyMap<string, number | string>;

function expandBlock(block: readonly Statement[], meanings: Meanings, names: Set<string>): readonly Statement[] {
  return block.flatMap((statement): readonly Statement[] =>
    statement.kind === "for" && statement.unroll
      ? expandLoop(statement, meanings, names)
      : [
          renameStatement(
            mapStatement(
              statement,
              (expression) => renameExpression(expression, meanings),
              (inner) => expandBlock(inner, meanings, names),
            ),
            meanings,
          ),
        ],
  );
}

function expandLoop(loop: For, outer: Meanings, names: Set<string>): readonly Statement[] {
  const [start, end, step] = [loop.start, loop.end, loop.step].map((bound) => {
    if (bound.kind !== "constant") throw new InternalError(`unrolled loop over ${loop.variable} needs constant bounds`);
    return bound.value;
  }) as [number, number, number];
  const written: Statement[] = [];
  for (let value = start; value < end; value += step) {
    const meanings = new Map(outer).set(loop.variable, value);
    if (value !== start) {
      eachStatement(loop.body, (statement) => {
        const name = declaredName(statement);
        if (name !== undefined) meanings.set(name, freshName(name, names));
      });
    }
    written.push(...expandBlock(loop.body, meanings, names));
  }
  return written;
}

function freshName(name: string, names: Set<string>): string {
  let fresh = name;
  for (let count = 1; names.has(fresh); count++) fresh = `${name}_${count}`;
  names.add(fresh);
  return fresh;
}

function renamed(name: string, meanings: Meanings): string {
  const meaning = meanings.get(name);
  return typeof meaning === "string" ? meaning : name;
}

function renameExpression(expression: Expression, meanings: Meanings): Expression {
  if (expression.kind === "local") {
    const meaning = meanings.get(expression.name);
    if (typeof meaning === "number") return constant(expression.type as "u32" | "i32", meaning);
    return { ...expression, name: renamed(expression.name, meanings) };
  }
  const result = mapOperands(expression, (operand) => renameExpression(operand, meanings));
  if (result.kind === "load" && result.space === "register") return { ...result, name: renamed(result.name, meanings) };
  if (result.kind === "convert" && result.type === "f32" && result.value.kind === "constant") {
    return constant("f32", result.value.value);
  }
  if (result.kind === "binary" && isArithmetic(result.op)) {
    return foldInteger(result.op, result.left, result.right) ?? result;
  }
  return result;
}

/** Renames what a statement declares or assigns. */
function renameStatement(statement: Statement, meanings: Meanings): Statement {
  switch (statement.kind) {
    case "let":
    case "var":
    case "assign":
    case "registers":
    case "uniform-load":
    case "subgroup":
    case "mma":
    case "matrix-load":
      return { ...statement, name: renamed(statement.name, meanings) };
    case "store":
      return statement.space === "register" ? { ...statement, name: renamed(statement.name, meanings) } : statement;
    case "atomic":
      return statement.result === undefined ? statement : { ...statement, result: renamed(statement.result, meanings) };
    case "for":
      return { ...statement, variable: renamed(statement.variable, meanings) };
    default:
      return statement;
  }
}
