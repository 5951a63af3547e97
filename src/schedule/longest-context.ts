/**
 * How long a sequence may be so that kernels compute its relations rightly.
 *
 * Kernels compute bounds and predicates in i32. A factor as in `1000000 * k.pos <= 999999 * q.pos` makes values that leave it long before
 * positions do. What a value can be follows from what positions and copies can be, operation by operation.
 */
import { relationDiagnostics } from "../diagnostics/catalogue-relation.js";
import { label } from "../diagnostics/define.js";
import { type Diagnostic, type Label, unreachable } from "../diagnostics/diagnostic.js";
import type { Expr } from "../ir/expr.js";
import type { Attend, Graph } from "../ir/graph/ops.js";
import type { Predicate, Term } from "../ir/relation/predicate.js";

/** Both inclusive. */
type Range = readonly [least: number, greatest: number];

const largest = 2 ** 31 - 1;

/** Positions that are enough for anybody; no index of a key comes near 2^31 with them. */
const mostPositions = 1 << 20;

/** The greatest number of positions, at most 2^20 and at least 1, for which every value is an i32. */
export function longestContext({ attends, copies }: Pick<Graph, "attends" | "copies">): number {
  const fits = (positions: number) => attends.every((attend) => staysInside(attend, positions, copies));
  if (fits(mostPositions)) return mostPositions;
  let [works, fails] = [1, mostPositions];
  while (fails - works > 1) {
    const middle = Math.floor((works + fails) / 2);
    if (fits(middle)) works = middle;
    else fails = middle;
  }
  return works;
}

/** An error where the relations need larger numbers than kernels have whatever the length of a sequence. */
export function contextError({ attends, copies }: Graph): Diagnostic | undefined {
  const outside = attends.find((attend) => !staysInside(attend, 1, copies));
  if (outside === undefined) return undefined;
  return relationDiagnostics.numbersTooLarge({}, ...labelsOf(outside));
}

/** A warning where it is the relations that bound the length of sequences. */
export function contextWarning({ attends, copies }: Graph): Diagnostic | undefined {
  const positions = longestContext({ attends, copies });
  if (positions === mostPositions) return undefined;
  const shortest = attends.find((attend) => longestContext({ attends: [attend], copies }) === positions);
  return relationDiagnostics.shortContext({ positions }, ...labelsOf(shortest));
}

function labelsOf(attend: Attend | undefined): readonly Label[] {
  return attend?.origin === undefined ? [] : [label(attend.origin)];
}

function staysInside({ predicate, parts }: Attend, positions: number, copies: number): boolean {
  const values = new Values(positions, copies);
  values.predicate(predicate);
  for (const { lo, hi } of parts ?? []) {
    values.expr(lo);
    values.expr(hi);
  }
  return values.fit;
}

/** The ranges of values, and whether all that were seen are i32. */
class Values {
  fit = true;
  private readonly pos: Range;
  private readonly copy: Range;

  constructor(positions: number, copies: number) {
    this.pos = [0, positions - 1];
    this.copy = [1, copies];
  }

  predicate(predicate: Predicate): void {
    switch (predicate.kind) {
      case "constant":
        return;
      case "compare":
        this.term(predicate.left);
        this.term(predicate.right);
        return;
      case "not":
        this.predicate(predicate.part);
        return;
      case "and":
      case "or":
        for (const part of predicate.parts) this.predicate(part);
        return;
      default:
        unreachable(predicate);
    }
  }

  term(term: Term): Range {
    switch (term.kind) {
      case "constant":
        return this.seen([term.value, term.value]);
      case "coordinate":
        return term.name.endsWith("pos") ? this.pos : this.copy;
      case "add":
        return this.seen(sumOf(this.term(term.left), this.term(term.right)));
      case "scale":
        return this.seen(productOf([term.factor, term.factor], this.term(term.term)));
      case "div":
        return this.quotient(this.term(term.term), [term.divisor, term.divisor]);
      case "mod":
        return this.remainder(this.term(term.term), [term.divisor, term.divisor]);
      default:
        return unreachable(term);
    }
  }

  expr(expr: Expr): Range {
    if (typeof expr === "number") return this.seen([expr, expr]);
    if (typeof expr === "string") return expr.endsWith("pos") ? this.pos : this.copy;
    const args = expr.args.map((arg) => this.expr(arg));
    const [first, second] = args as [Range, Range];
    switch (expr.op) {
      case "add":
        return args.reduce((sum, range) => this.seen(sumOf(sum, range)));
      case "mul":
        return args.reduce((product, range) => this.seen(productOf(product, range)));
      case "sub":
        return this.seen([first[0] - second[1], first[1] - second[0]]);
      case "min":
        return [Math.min(...args.map(([least]) => least)), Math.min(...args.map(([, greatest]) => greatest))];
      case "max":
        return [Math.max(...args.map(([least]) => least)), Math.max(...args.map(([, greatest]) => greatest))];
      case "div":
        return this.quotient(first, second);
      case "mod":
        return this.remainder(first, second);
      case "le":
      case "eq":
        return [0, 1];
      case "select":
        return hullOf(second, args[2]!);
      default:
        return unreachable(expr);
    }
  }

  private quotient(value: Range, [least, greatest]: Range): Range {
    // Rounding down subtracts the divisor from what is negative.
    this.seen([value[0] - greatest, value[1]]);
    const divisor = Math.max(1, least);
    return [Math.floor(Math.min(0, value[0]) / divisor), Math.floor(Math.max(0, value[1]) / divisor)];
  }

  private remainder(value: Range, [, greatest]: Range): Range {
    this.seen([value[0] - greatest, value[1]]);
    return [0, Math.max(0, greatest - 1)];
  }

  private seen(range: Range): Range {
    if (!(range[0] >= -largest && range[1] <= largest)) this.fit = false;
    return range;
  }
}

const sumOf = (a: Range, b: Range): Range => [a[0] + b[0], a[1] + b[1]];
const hullOf = (a: Range, b: Range): Range => [Math.min(a[0], b[0]), Math.max(a[1], b[1])];

function productOf(a: Range, b: Range): Range {
  const corners = a.flatMap((left) => b.map((right) => left * right));
  return [Math.min(...corners), Math.max(...corners)];
}
