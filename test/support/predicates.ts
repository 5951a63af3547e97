/** The visibility rules of the semantics page as closed predicates, for graphs that are built by hand. */
import type { Comparison, Coordinate, Predicate, Term } from "../../src/ir/relation/predicate.js";

export const coordinate = (name: Coordinate): Term => ({ kind: "coordinate", name });
export const constant = (value: number): Term => ({ kind: "constant", value });
export const plus = (left: Term, right: Term): Term => ({ kind: "add", left, right });
export const times = (factor: number, term: Term): Term => ({ kind: "scale", factor, term });
export const minus = (left: Term, right: Term): Term => plus(left, times(-1, right));
export const divided = (term: Term, divisor: number): Term => ({ kind: "div", term, divisor });
export const compare = (left: Term, operator: Comparison, right: Term): Predicate => ({
  kind: "compare",
  operator,
  left,
  right,
});
export const both = (...parts: Predicate[]): Predicate => ({ kind: "and", parts });
export const either = (...parts: Predicate[]): Predicate => ({ kind: "or", parts });

const [qPos, qCopy, kPos, kCopy] = (["q.pos", "q.copy", "k.pos", "k.copy"] as const).map(coordinate) as [
  Term,
  Term,
  Term,
  Term,
];

export interface VariantOptions {
  readonly variant: string;
  readonly copies: number;
  readonly window?: number;
  readonly unit?: "tokens" | "positions";
  readonly chunk?: number;
}

/** The predicate of a variant, as the `phd` block of a checkpoint names it. */
export function predicateOf({ variant, copies, window = 0, unit = "tokens", chunk = 1 }: VariantOptions): Predicate {
  const causal = compare(kPos, "<=", qPos);
  const stream = either(compare(kPos, "<", qPos), both(compare(kPos, "==", qPos), compare(kCopy, "<=", qCopy)));
  const original = both(compare(kCopy, "==", constant(1)), compare(kPos, "<", qPos));
  const own = both(compare(kPos, "==", qPos), compare(kCopy, "<=", qCopy));
  const hidden = (pos: Term, copy: Term) => plus(times(copies - 1, pos), plus(copy, constant(-2)));
  const distance = unit === "tokens" ? minus(hidden(qPos, qCopy), hidden(kPos, kCopy)) : minus(qPos, kPos);
  const recent = both(
    compare(kCopy, ">", constant(1)),
    compare(qCopy, ">", constant(1)),
    compare(kPos, "<", qPos),
    compare(distance, "<=", constant(window)),
  );
  const sameChunk = compare(divided(qPos, chunk), "==", divided(kPos, chunk));
  switch (variant) {
    case "vanilla":
      return causal;
    case "naive":
      return stream;
    case "phd":
      return either(original, own);
    case "phd-swa":
      return either(original, own, recent);
    case "phd-cswa":
      return either(original, own, both(...(recent as Extract<Predicate, { kind: "and" }>).parts, sameChunk));
    default:
      throw new Error(`no predicate for ${variant}`);
  }
}
