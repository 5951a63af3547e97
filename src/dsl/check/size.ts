/**
 * Sizes in the model's own words: polynomials in its parameters.
 *
 * `heads * head_dim` stays what it says, beside its value under the parameters given. Two sizes are equal when their polynomials
 * are, or when a `require a == b` makes them so; that two values happen to be equal is not enough.
 */

/** Monomial (names joined by `·`, sorted; empty for the constant) to its coefficient, which is never 0. */
type Polynomial = ReadonlyMap<string, number>;

export interface Size {
  readonly polynomial: Polynomial;
  readonly value: number;
  /** As the model writes it: `heads * head_dim`. */
  readonly text: string;
}

/** Beyond these limits a size is only its value, so that hostile products stay small. No model comes near. */
const mostTerms = 64;
const longestText = 120;

export function constantSize(value: number): Size {
  return { polynomial: value === 0 ? new Map() : new Map([["", value]]), value, text: String(value) };
}

/** A parameter, or an expression that polynomials cannot hold (`dim div heads`), which then stands for itself. */
export function symbolSize(name: string, value: number): Size {
  return { polynomial: new Map([[name, 1]]), value, text: name };
}

/** `left + right`, or `left - right` where the sign is -1. */
export function addSizes(left: Size, right: Size, sign: 1 | -1 = 1): Size {
  if (left.text === "0" && sign === 1) return right;
  const text = `${left.text} ${sign === 1 ? "+" : "-"} ${sign === 1 ? right.text : parenthesise(right)}`;
  return bounded(addPolynomials(left.polynomial, right.polynomial, sign), left.value + sign * right.value, text);
}

export function multiplySizes(left: Size, right: Size): Size {
  const value = left.value * right.value;
  if (left.polynomial.size * right.polynomial.size > mostTerms) return constantSize(value);
  const text = `${parenthesise(left)} * ${parenthesise(right)}`;
  return bounded(multiplyPolynomials(left.polynomial, right.polynomial), value, text);
}

/** `dim div heads`: nothing is known about it but that it equals itself. */
export function opaqueSize(operator: "div" | "mod", left: Size, right: Size, value: number): Size {
  const text = `${parenthesise(left)} ${operator} ${parenthesise(right)}`;
  return bounded(new Map([[text, 1]]), value, text);
}

/** `heads * head_dim` by `heads` is `head_dim`; what does not divide as a polynomial is an opaque quotient. The values divide evenly. */
export function divideSizes(size: Size, by: Size): Size {
  const value = size.value / by.value;
  const polynomial = by.polynomial.size === 1 ? divideByMonomial(size.polynomial, [...by.polynomial][0]!) : undefined;
  return polynomial === undefined
    ? opaqueSize("div", size, by, value)
    : bounded(polynomial, value, printPolynomial(polynomial));
}

function printPolynomial(polynomial: Polynomial): string {
  const terms = [...polynomial].map(([monomial, coefficient]) => {
    const names = monomial === "" ? [] : monomial.split("·");
    return [...(coefficient === 1 && names.length > 0 ? [] : [coefficient]), ...names].join(" * ");
  });
  return terms.join(" + ");
}

function bounded(polynomial: Polynomial, value: number, text: string): Size {
  if (polynomial.size > mostTerms || text.length > longestText) return constantSize(value);
  const isNumber = polynomial.size === 0 || (polynomial.size === 1 && polynomial.has(""));
  return isNumber ? constantSize(value) : { polynomial, value, text };
}

function parenthesise(size: Size): string {
  return /^[\w.]+( \* [\w.]+)*$/.test(size.text) ? size.text : `(${size.text})`;
}

/** The equations that a model's `require` statements state, for comparing sizes. */
export class Equations {
  /** Solved equations: a name, and what replaces it. */
  private readonly solved: { readonly name: string; readonly replacement: Polynomial }[] = [];
  /** Equations in which no name stands alone; they equate only what differs by a multiple of them. */
  private readonly stated: Polynomial[] = [];

  /** Learns `left == right`. */
  learn(left: Size, right: Size): void {
    const difference = this.difference(left, right);
    for (const [name, coefficient] of difference) {
      if (name === "" || name.includes("·") || Math.abs(coefficient) !== 1) continue;
      const elsewhere = [...difference.keys()].some((other) => other !== name && other.split("·").includes(name));
      if (elsewhere) continue;
      const rest = [...difference].filter(([other]) => other !== name);
      this.solved.push({ name, replacement: new Map(rest.map(([other, factor]) => [other, -factor * coefficient])) });
      return;
    }
    if (difference.size > 0) this.stated.push(difference);
  }

  equal(left: Size, right: Size): boolean {
    if (left.value !== right.value) return false;
    const difference = this.difference(left, right);
    return difference.size === 0 || this.stated.some((stated) => areProportional(stated, difference));
  }

  private difference(left: Size, right: Size): Polynomial {
    return this.solved.reduce<Polynomial>(
      (polynomial, { name, replacement }) => replaceName(polynomial, name, replacement),
      addPolynomials(left.polynomial, right.polynomial, -1),
    );
  }
}

// ── Polynomials ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function addPolynomials(left: Polynomial, right: Polynomial, factor: number): Polynomial {
  const sum = new Map(left);
  for (const [monomial, coefficient] of right) accumulate(sum, monomial, factor * coefficient);
  return sum;
}

function multiplyPolynomials(left: Polynomial, right: Polynomial): Polynomial {
  const product = new Map<string, number>();
  for (const [leftMonomial, leftCoefficient] of left) {
    for (const [rightMonomial, rightCoefficient] of right) {
      accumulate(product, multiplyMonomials(leftMonomial, rightMonomial), leftCoefficient * rightCoefficient);
    }
  }
  return product;
}

function divideByMonomial(
  polynomial: Polynomial,
  [divisor, divisorFactor]: readonly [string, number],
): Polynomial | undefined {
  const quotient = new Map<string, number>();
  for (const [monomial, coefficient] of polynomial) {
    const names = monomial === "" ? [] : monomial.split("·");
    for (const name of divisor === "" ? [] : divisor.split("·")) {
      const at = names.indexOf(name);
      if (at === -1) return undefined;
      names.splice(at, 1);
    }
    if (coefficient % divisorFactor !== 0) return undefined;
    quotient.set(names.join("·"), coefficient / divisorFactor);
  }
  return quotient;
}

function replaceName(polynomial: Polynomial, name: string, replacement: Polynomial): Polynomial {
  let result: Polynomial = new Map();
  for (const [monomial, coefficient] of polynomial) {
    let product: Polynomial = new Map([["", coefficient]]);
    for (const factor of monomial === "" ? [] : monomial.split("·")) {
      product = multiplyPolynomials(product, factor === name ? replacement : new Map([[factor, 1]]));
    }
    result = addPolynomials(result, product, 1);
  }
  return result;
}

function areProportional(left: Polynomial, right: Polynomial): boolean {
  const [first] = left;
  const ratio = (right.get(first![0]) ?? 0) / first![1];
  return left.size === right.size && [...left].every(([monomial, factor]) => right.get(monomial) === ratio * factor);
}

function multiplyMonomials(left: string, right: string): string {
  if (left === "" || right === "") return left + right;
  return [...left.split("·"), ...right.split("·")].sort().join("·");
}

function accumulate(polynomial: Map<string, number>, monomial: string, coefficient: number): void {
  const sum = (polynomial.get(monomial) ?? 0) + coefficient;
  if (sum === 0) polynomial.delete(monomial);
  else polynomial.set(monomial, sum);
}
