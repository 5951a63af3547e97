/**
 * Constraints of which one asks many times what they imply: their dense system is built once.
 */
import { columnOf, emptySystem, rowOf } from "./atom-system.js";
import type { Constraint } from "./constraint.js";
import { isFeasible } from "./feasibility.js";
import type { Row } from "./linear-system.js";

export class Premises {
  private readonly system = emptySystem();
  private readonly rows: readonly Premise[];

  /** `context` holds whatever is left out; `questions` are the constraints that `imply` will be asked about. */
  constructor(
    constraints: readonly Constraint[],
    context: readonly Constraint[],
    questions: readonly Constraint[] = constraints,
  ) {
    for (const { form } of [...constraints, ...context, ...questions]) {
      for (const { atom } of form.terms) columnOf(this.system, atom);
    }
    const premise = (constraint: Constraint, always: boolean): Premise => ({
      constraint,
      always,
      row: rowOf(this.system, constraint.form),
    });
    this.rows = [
      ...constraints.map((constraint) => premise(constraint, false)),
      ...context.map((constraint) => premise(constraint, true)),
    ];
  }

  /** Whether every integer point satisfies `wanted`, with some of the constraints left out. */
  imply(wanted: Constraint, without: ReadonlySet<Constraint> = noConstraints): boolean {
    const known = this.rows.filter(({ constraint, always }) => always || !without.has(constraint));
    if (known.some(({ constraint }) => saysDirectly(constraint, wanted))) return true;
    const row = rowOf(this.system, wanted.form);
    if (this.isPossible(negated(row), known)) return false;
    return wanted.kind === "at-least-zero" || !this.isPossible([row[0]! - 1, ...row.slice(1)], known);
  }

  private isPossible(also: Row, known: readonly Premise[]): boolean {
    const equalities: Row[] = [];
    const inequalities: Row[] = this.system.inequalities.map((row) => row.slice());
    for (const { constraint, row } of known) {
      (constraint.kind === "zero" ? equalities : inequalities).push(row.slice());
    }
    inequalities.push(also);
    return isFeasible({ equalities, inequalities, width: this.system.width });
  }
}

interface Premise {
  readonly constraint: Constraint;
  readonly row: Row;
  /** Part of the context: a constraint of the same text may be left out beside it. */
  readonly always: boolean;
}

const noConstraints: ReadonlySet<Constraint> = new Set();

/** The row of "less than 0" for the row of "at least 0". */
function negated(row: Row): Row {
  const opposite = row.map((value) => -value);
  opposite[0] = opposite[0]! - 1;
  return opposite;
}

/** Whether a parallel constraint says it at sight. */
function saysDirectly(known: Constraint, wanted: Constraint): boolean {
  if (known.linear !== wanted.linear) return false;
  if (known.form.constant === wanted.form.constant) return known.kind === "zero" || wanted.kind === "at-least-zero";
  return wanted.kind === "at-least-zero" && known.form.constant < wanted.form.constant;
}
