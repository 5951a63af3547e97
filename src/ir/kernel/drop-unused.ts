import type { Expression } from "./expressions.js";
import type { Kernel } from "./kernel.js";
import type { Statement } from "./statements.js";
import { eachExpressionIn, eachStatement, mapStatement } from "./walk.js";

type Body = Pick<Kernel, "body" | "arrays">;

/**
 * Drops what a kernel computes and never uses: locals, register arrays and workgroup arrays that nothing reads, and branches and
 * loops that are left empty.
 *
 * Kernels are written over compile-time parameters, so a helper may name a value that this variant has no use for. Barriers,
 * subgroup operations and atomics stay. Buffers and params stay as well: they are the kernel's interface.
 */
export function dropUnused({ body, arrays }: Body): Body {
  let current = body;
  // What a dropped statement read may be unused in turn.
  for (;;) {
    const used = namesRead(current);
    if (!holdsUnused(current, used)) return { body: current, arrays: arrays.filter(({ name }) => used.has(name)) };
    current = dropFrom(current, used);
  }
}

/** Locals, register arrays and workgroup arrays whose values matter to something. */
function namesRead(body: readonly Statement[]): ReadonlySet<string> {
  const names = new Set<string>();
  const note = (expression: Expression) => {
    if (expression.kind === "local" || expression.kind === "load") names.add(expression.name);
  };
  eachExpressionIn(body, note);
  eachStatement(body, (statement) => {
    if (statement.kind === "uniform-load" || statement.kind === "matrix-load") names.add(statement.array);
    if (statement.kind === "atomic") names.add(statement.name);
  });
  return names;
}

function dropFrom(block: readonly Statement[], used: ReadonlySet<string>): readonly Statement[] {
  return block
    .map((statement) =>
      mapStatement(
        statement,
        (expression) => expression,
        (inner) => dropFrom(inner, used),
      ),
    )
    .filter((statement) => !isUnused(statement, used));
}

function isUnused(statement: Statement, used: ReadonlySet<string>): boolean {
  switch (statement.kind) {
    case "let":
    case "var":
    case "registers":
    case "assign":
      return !used.has(statement.name);
    case "store":
      return statement.space !== "buffer" && !used.has(statement.name);
    case "async-copy":
      return !used.has(statement.array);
    case "if":
      return isEmpty(statement.body) && isEmpty(statement.otherwise);
    case "for":
      return isEmpty(statement.body);
    default:
      return false;
  }
}

const isEmpty = (block: readonly Statement[]) => block.every(({ kind }) => kind === "comment");

function holdsUnused(body: readonly Statement[], used: ReadonlySet<string>): boolean {
  let found = false;
  eachStatement(body, (statement) => {
    found ||= isUnused(statement, used);
  });
  return found;
}
