/**
 * Quasi-affine forms: integer-linear in variables and in floors of such forms.
 *
 * A floor `⌊form / d⌋` is an atom like a variable, and carries its own definition: it stands for one integer that the variables
 * determine, so a constraint with floors has no hidden quantifier and can be negated. Equal floors have equal keys, because
 * `floorOf` brings every quotient to one canonical form.
 */
import { add, div, type Expr, mul, sub } from "../expr.js";
import { exactInteger } from "./work.js";

export interface Variable {
  readonly kind: "variable";
  readonly key: string;
}

/** The largest integer e with divisor * e <= numerator. */
export interface Floor {
  readonly kind: "floor";
  readonly key: string;
  readonly numerator: Affine;
  readonly divisor: number;
}

export type Atom = Variable | Floor;

export interface AffineTerm {
  readonly atom: Atom;
  /** Never 0. */
  readonly factor: number;
}

/** constant + Σ factor * atom, terms sorted by key. */
export interface Affine {
  readonly terms: readonly AffineTerm[];
  readonly constant: number;
}

export const constant = (value: number): Affine => ({ terms: [], constant: exactInteger(value) });

export const variable = (name: string): Affine => ({
  terms: [{ atom: { kind: "variable", key: name }, factor: 1 }],
  constant: 0,
});

export const plus = (left: Affine, right: Affine): Affine => combine(left, 1, right, 1);
export const minus = (left: Affine, right: Affine): Affine => combine(left, 1, right, -1);
export const negate = (form: Affine): Affine => scale(form, -1);
export const shift = (form: Affine, by: number): Affine =>
  by === 0 ? form : { terms: form.terms, constant: exactInteger(form.constant + by) };

export function scale(form: Affine, factor: number): Affine {
  if (factor === 1) return form;
  if (factor === 0) return constant(0);
  return {
    terms: form.terms.map((term) => ({ atom: term.atom, factor: exactInteger(term.factor * factor) })),
    constant: exactInteger(form.constant * factor),
  };
}

/** a * left + b * right. */
export function combine(left: Affine, a: number, right: Affine, b: number): Affine {
  const terms: AffineTerm[] = [];
  let i = 0;
  let j = 0;
  while (i < left.terms.length || j < right.terms.length) {
    const x = left.terms[i];
    const y = right.terms[j];
    if (y === undefined || (x !== undefined && x.atom.key < y.atom.key)) {
      push(terms, x!.atom, x!.factor * a);
      i++;
    } else if (x === undefined || y.atom.key < x.atom.key) {
      push(terms, y.atom, y.factor * b);
      j++;
    } else {
      push(terms, x.atom, exactInteger(x.factor * a) + exactInteger(y.factor * b));
      i++;
      j++;
    }
  }
  return { terms, constant: exactInteger(exactInteger(left.constant * a) + exactInteger(right.constant * b)) };
}

function push(terms: AffineTerm[], atom: Atom, factor: number): void {
  if (factor !== 0) terms.push({ atom, factor: exactInteger(factor) });
}

export const floorDiv = (value: number, divisor: number): number => Math.floor(value / divisor);

export function gcd(a: number, b: number): number {
  let x = Math.abs(a);
  let y = Math.abs(b);
  while (y !== 0) [x, y] = [y, x % y];
  return x;
}

/** ⌊form / divisor⌋ in canonical form: whole multiples pulled out, common factors removed, nested floors merged, sign fixed. */
export function floorOf(form: Affine, divisor: number): Affine {
  if (divisor === 1) return form;
  let common = divisor;
  for (const term of form.terms) common = gcd(common, term.factor);
  if (common > 1) {
    const reduced = {
      terms: form.terms.map((term) => ({ atom: term.atom, factor: term.factor / common })),
      constant: floorDiv(form.constant, common),
    };
    return floorOf(reduced, divisor / common);
  }
  let whole = constant(floorDiv(form.constant, divisor));
  const rest: AffineTerm[] = [];
  for (const { atom, factor } of form.terms) {
    const quotient = Math.ceil(factor / divisor - 0.5);
    const remainder = factor - quotient * divisor;
    if (quotient !== 0) whole = plus(whole, { terms: [{ atom, factor: quotient }], constant: 0 });
    if (remainder !== 0) rest.push({ atom, factor: remainder });
  }
  const remainder = form.constant - divisor * floorDiv(form.constant, divisor);
  if (rest.length === 0) return whole;
  if (rest.length < form.terms.length && rest.some((term) => gcd(term.factor, divisor) > 1)) {
    // Fewer terms may share a factor with the divisor that all terms together did not.
    return plus(whole, floorOf({ terms: rest, constant: remainder }, divisor));
  }
  const only = rest[0]!;
  if (rest.length === 1 && only.factor === 1 && only.atom.kind === "floor") {
    const inner = only.atom;
    return plus(
      whole,
      floorOf(shift(inner.numerator, remainder * inner.divisor), exactInteger(inner.divisor * divisor)),
    );
  }
  if (only.factor < 0) {
    // ⌊-m / d⌋ = -⌊(m + d - 1) / d⌋
    const flipped = rest.map((term) => ({ atom: term.atom, factor: -term.factor }));
    return minus(whole, floorOf({ terms: flipped, constant: divisor - 1 - remainder }, divisor));
  }
  const numerator = { terms: rest, constant: remainder };
  const atom: Floor = { kind: "floor", key: `⌊${keyOf(numerator)}/${divisor}⌋`, numerator, divisor };
  return plus(whole, { terms: [{ atom, factor: 1 }], constant: 0 });
}

/** form - divisor * ⌊form / divisor⌋. */
export const remainderOf = (form: Affine, divisor: number): Affine =>
  combine(form, 1, floorOf(form, divisor), -divisor);

/** A text that is equal for equal forms; also what dumps show. */
export function keyOf(form: Affine): string {
  const linear = linearKey(form);
  if (linear === "") return String(form.constant);
  return form.constant === 0 ? linear : `${linear}${form.constant < 0 ? "" : "+"}${form.constant}`;
}

/** The key without the constant: forms with equal linear keys are parallel. */
export function linearKey(form: Affine): string {
  let text = "";
  for (const { atom, factor } of form.terms) {
    const sign = factor < 0 ? "-" : text === "" ? "" : "+";
    const size = Math.abs(factor);
    text += size === 1 ? sign + atom.key : `${sign}${size}*${atom.key}`;
  }
  return text;
}

/** Whether the form or a floor inside it mentions one of the variables. */
export function mentions(form: Affine, isMeant: (name: string) => boolean): boolean {
  return form.terms.some(({ atom }) => atomMentions(atom, isMeant));
}

export function atomMentions(atom: Atom, isMeant: (name: string) => boolean): boolean {
  return atom.kind === "variable" ? isMeant(atom.key) : mentions(atom.numerator, isMeant);
}

export function factorOf(form: Affine, key: string): number {
  return form.terms.find((term) => term.atom.key === key)?.factor ?? 0;
}

/** Replaces variables, also inside floors. */
export function substituteForm(form: Affine, values: ReadonlyMap<string, Affine>): Affine {
  if (!mentions(form, (name) => values.has(name))) return form;
  let result = constant(form.constant);
  for (const { atom, factor } of form.terms) {
    const value =
      atom.kind === "floor"
        ? floorOf(substituteForm(atom.numerator, values), atom.divisor)
        : (values.get(atom.key) ?? { terms: [{ atom, factor: 1 }], constant: 0 });
    result = combine(result, 1, value, factor);
  }
  return result;
}

export function evaluateForm(form: Affine, values: Readonly<Record<string, number>>): number {
  let total = form.constant;
  for (const { atom, factor } of form.terms) {
    total +=
      factor *
      (atom.kind === "variable" ? values[atom.key]! : floorDiv(evaluateForm(atom.numerator, values), atom.divisor));
  }
  return total;
}

/** The form as an expression; `name` may rename variables. Differences are written with `sub`, so that no factor is negative. */
export function toExpr(form: Affine, name: (variable: string) => Expr = (key) => key): Expr {
  const value = (atom: Atom): Expr =>
    atom.kind === "variable" ? name(atom.key) : div(toExpr(atom.numerator, name), atom.divisor);
  const positive = form.terms.filter((term) => term.factor > 0).map((term) => mul(value(term.atom), term.factor));
  const negative = form.terms.filter((term) => term.factor < 0).map((term) => mul(value(term.atom), -term.factor));
  if (form.constant > 0 || (positive.length === 0 && form.constant === 0)) positive.push(form.constant);
  if (form.constant < 0) negative.push(-form.constant);
  const gain = positive.length === 0 ? 0 : add(...positive);
  return negative.length === 0 ? gain : sub(gain, add(...negative));
}
