/** Cuts kernels into what invocations do alone and where they meet, and finds the locals that outlive such a cut. */
import type { Expression } from "../../ir/kernel/expressions.js";
import type { Statement } from "../../ir/kernel/statements.js";
import {
  declaredName,
  eachExpression,
  eachExpressionIn,
  eachStatement,
  expressionsOf,
  isConvergent,
} from "../../ir/kernel/walk.js";

export type Region =
  | { readonly kind: "alone"; readonly statements: readonly Statement[] }
  | { readonly kind: "together"; readonly statement: Statement };

/** Cuts a block into runs that an invocation does alone, and statements where invocations meet. */
export function regionsOf(block: readonly Statement[]): readonly Region[] {
  const regions: Region[] = [];
  let alone: Statement[] = [];
  const flush = () => {
    if (alone.some((statement) => statement.kind !== "comment")) regions.push({ kind: "alone", statements: alone });
    alone = [];
  };
  for (const statement of block) {
    if (!isConvergent(statement)) {
      alone.push(statement);
      // What follows a break in this block is for the invocations that did not take it.
      if (breaksOut(statement)) flush();
    } else {
      flush();
      regions.push({ kind: "together", statement });
    }
  }
  flush();
  return regions;
}

/** Whether a statement can leave a loop around it. */
export function breaksOut(statement: Statement): boolean {
  if (statement.kind === "break") return true;
  return statement.kind === "if" && [...statement.body, ...statement.otherwise].some(breaksOut);
}

/** Names that one region declares and another one uses, and names that are set where invocations meet. */
export function findCrossingNames(body: readonly Statement[]): ReadonlySet<string> {
  const regionOf = new Map<string, number>();
  const crossing = new Set<string>();
  let region = 0;
  const note = (name: string) => {
    const known = regionOf.get(name);
    if (known === undefined) regionOf.set(name, region);
    else if (known !== region) crossing.add(name);
  };
  const noteExpression = (expression: Expression) =>
    eachExpression(expression, (part) => {
      if (part.kind === "local") note(part.name);
    });
  const visit = (block: readonly Statement[]) => {
    for (const part of regionsOf(block)) {
      region++;
      if (part.kind === "alone") {
        eachStatement(part.statements, (statement) => {
          const name = declaredName(statement) ?? (statement.kind === "assign" ? statement.name : undefined);
          if (name !== undefined && statement.kind !== "registers") note(name);
        });
        eachExpressionIn(part.statements, (expression) => {
          if (expression.kind === "local") note(expression.name);
        });
        continue;
      }
      const { statement } = part;
      for (const expression of expressionsOf(statement)) noteExpression(expression);
      const name = declaredName(statement);
      if (name !== undefined) crossing.add(name);
      if (statement.kind === "if") {
        visit(statement.body);
        visit(statement.otherwise);
      } else if (statement.kind === "for" || statement.kind === "while") visit(statement.body);
    }
  };
  visit(body);
  return crossing;
}
