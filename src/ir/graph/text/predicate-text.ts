/**
 * Predicates as text in the language's own grammar, closed: no rules, no parameters.
 *
 * Reading gives back the same tree. A conjunction of one part or of none, which the grammar cannot say, is written `all(…)`,
 * a disjunction `any(…)`. (`printPredicate` of the algebra is for people: it drops what says nothing.)
 */
import { unreachable } from "../../../diagnostics/diagnostic.js";
import type { Comparison, Coordinate, Predicate, Term } from "../../relation/predicate.js";
import { printNumber, readInfix, type TextReader } from "./reader.js";

const comparisons: readonly Comparison[] = ["==", "!=", "<=", ">=", "<", ">"];
const coordinates: readonly Coordinate[] = ["q.pos", "q.copy", "k.pos", "k.copy"];

export function printPredicateText(predicate: Predicate): string {
  switch (predicate.kind) {
    case "constant":
      return String(predicate.value);
    case "compare":
      return `${printTerm(predicate.left)} ${predicate.operator} ${printTerm(predicate.right)}`;
    case "not":
      return `not ${enclosed(predicate.part, 2)}`;
    case "and":
    case "or": {
      const level = levelOf(predicate);
      if (level === 3)
        return `${predicate.kind === "and" ? "all" : "any"}(${predicate.parts.map(printPredicateText).join(", ")})`;
      return predicate.parts.map((part) => enclosed(part, level + 1)).join(` ${predicate.kind} `);
    }
    default:
      return unreachable(predicate);
  }
}

/** How tightly a predicate binds: `or` 0, `and` 1, everything that needs no parentheses 3. */
function levelOf(predicate: Predicate): number {
  if (predicate.kind !== "and" && predicate.kind !== "or") return predicate.kind === "not" ? 2 : 3;
  return predicate.parts.length < 2 ? 3 : predicate.kind === "or" ? 0 : 1;
}

function enclosed(predicate: Predicate, level: number): string {
  return levelOf(predicate) < level ? `(${printPredicateText(predicate)})` : printPredicateText(predicate);
}

function printTerm(term: Term): string {
  switch (term.kind) {
    case "constant":
      return printNumber(term.value);
    case "coordinate":
      return term.name;
    case "add":
      return `${printTerm(term.left)} ${printAddend(term.right)}`;
    case "scale":
      return `${printNumber(term.factor)} * ${factor(term.term, 3)}`;
    case "div":
    case "mod":
      return `${factor(term.term, 2)} ${term.kind} ${term.divisor}`;
    default:
      return unreachable(term);
  }
}

/** What is added is read back from `+`, a negative constant and -1 times something else from `-`. */
function printAddend(term: Term): string {
  if (term.kind === "constant" && term.value < 0) return `- ${printNumber(-term.value)}`;
  if (term.kind === "scale" && term.factor === -1 && term.term.kind !== "constant") return `- ${factor(term.term, 2)}`;
  return `+ ${factor(term, 2)}`;
}

function factor(term: Term, level: number): string {
  const own = term.kind === "add" ? 1 : term.kind === "constant" || term.kind === "coordinate" ? 3 : 2;
  return own < level ? `(${printTerm(term)})` : printTerm(term);
}

export function parsePredicateText(reader: TextReader): Predicate {
  const join = (kind: "and" | "or") => (left: Predicate, right: Predicate, joined: boolean) => ({
    kind,
    parts: [...(joined && left.kind === kind ? left.parts : [left]), right],
  });
  return readInfix<Predicate>(reader, [{ or: join("or") }, { and: join("and") }], () => parseTest(reader));
}

function parseTest(reader: TextReader): Predicate {
  if (reader.accept("not")) return { kind: "not", part: parseTest(reader) };
  if (reader.accept("true")) return { kind: "constant", value: true };
  if (reader.accept("false")) return { kind: "constant", value: false };
  for (const [name, kind] of [["all", "and"] as const, ["any", "or"] as const]) {
    if (reader.accept(name)) {
      reader.expect("(");
      return { kind, parts: reader.list(")", () => parsePredicateText(reader)) };
    }
  }
  // A parenthesis may open a predicate or a term; what follows it tells.
  return reader.either<Predicate>(
    () => {
      reader.expect("(");
      const inner = parsePredicateText(reader);
      reader.expect(")");
      return inner;
    },
    () => ![...comparisons, "+", "-", "*", "div", "mod"].includes(reader.peek().text),
    () => {
      const left = parseTerm(reader);
      const operator = comparisons.find((text) => reader.accept(text));
      if (operator === undefined) throw reader.error("expected a comparison");
      return { kind: "compare", operator, left, right: parseTerm(reader) };
    },
  );
}

function negative(term: Term): Term {
  if (term.kind === "constant") return { kind: "constant", value: -term.value };
  return { kind: "scale", factor: -1, term };
}

function parseTerm(reader: TextReader): Term {
  const constant = (term: Term): number => {
    if (term.kind !== "constant") throw reader.error("expected a constant on one side");
    return term.value;
  };
  return readInfix<Term>(
    reader,
    [
      {
        "+": (left, right) => ({ kind: "add", left, right }),
        "-": (left, right) => ({ kind: "add", left, right: negative(right) }),
      },
      {
        "*": (left, right) => ({ kind: "scale", factor: constant(left), term: right }),
        div: (left, right) => ({ kind: "div", term: left, divisor: constant(right) }),
        mod: (left, right) => ({ kind: "mod", term: left, divisor: constant(right) }),
      },
    ],
    () => {
      if (reader.accept("(")) {
        const inner = parseTerm(reader);
        reader.expect(")");
        return inner;
      }
      if (reader.peek().kind !== "name") return { kind: "constant", value: reader.number() };
      const name = reader.read("name");
      const coordinate = coordinates.find((known) => known === name);
      if (coordinate === undefined) throw reader.error(`${name} is no coordinate`);
      return { kind: "coordinate", name: coordinate };
    },
  );
}
