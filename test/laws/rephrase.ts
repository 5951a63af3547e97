/** Other ways to write a relation: random rewriting of predicates that changes their text and never what they hold for. */
import type { Comparison, Predicate, Term } from "../../src/ir/relation/predicate.js";
import { both, compare, constant, coordinate, divided, either, minus, plus, times } from "../support/predicates.js";

type Random = (below: number) => number;
type Compare = Extract<Predicate, { kind: "compare" }>;

const [qPos, qCopy, kPos, kCopy] = (["q.pos", "q.copy", "k.pos", "k.copy"] as const).map(coordinate) as [
  Term,
  Term,
  Term,
  Term,
];

export const not = (part: Predicate): Predicate => ({ kind: "not", part });

/** mulberry32. */
export function randomNumbers(seed: number): Random {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** The relation in other words. `splits`: how many disjuncts are cut in two by a question that decides nothing. */
export function rephrase(predicate: Predicate, copies: number, random: Random, splits: number): Predicate {
  let current = predicate;
  for (let split = 0; split < splits; split++) current = splitOne(current, copies, random);
  return rewrite(current, copies, random);
}

function rewrite(predicate: Predicate, copies: number, random: Random): Predicate {
  switch (predicate.kind) {
    case "constant":
      return predicate;
    case "not":
      return not(rewrite(predicate.part, copies, random));
    case "compare":
      return rewriteComparison(predicate, copies, random);
    case "and":
    case "or": {
      const parts = shuffled(
        predicate.parts.map((part) => rewrite(part, copies, random)),
        random,
      );
      const same = (...of: Predicate[]): Predicate => (predicate.kind === "and" ? both(...of) : either(...of));
      const dual = (...of: Predicate[]): Predicate => (predicate.kind === "and" ? either(...of) : both(...of));
      switch (random(4)) {
        case 0:
          return not(dual(...parts.map(not)));
        case 1: {
          const cut = 1 + random(parts.length - 1);
          const [first, rest] = [parts.slice(0, cut), parts.slice(cut)];
          return first.length > 0 && rest.length > 0 ? same(grouped(same, first), grouped(same, rest)) : same(...parts);
        }
        case 2:
          return same(...parts, parts[random(parts.length)]!);
        default:
          return same(...parts);
      }
    }
  }
}

const grouped = (join: (...of: Predicate[]) => Predicate, parts: Predicate[]) =>
  parts.length === 1 ? parts[0]! : join(...parts);

const opposite: Readonly<Record<Comparison, Comparison>> = {
  "==": "!=",
  "!=": "==",
  "<": ">=",
  "<=": ">",
  ">": "<=",
  ">=": "<",
};
const mirrored: Readonly<Record<Comparison, Comparison>> = {
  "==": "==",
  "!=": "!=",
  "<": ">",
  "<=": ">=",
  ">": "<",
  ">=": "<=",
};

function rewriteComparison(given: Compare, copies: number, random: Random): Predicate {
  const { left, operator, right } = given;
  switch (random(9)) {
    case 0:
      return compare(right, mirrored[operator], left);
    case 1:
      return not(compare(left, opposite[operator], right));
    case 2:
      return operator === "==" ? both(compare(left, "<=", right), compare(left, ">=", right)) : given;
    case 3: {
      // k.pos + 1 <= q.pos for k.pos < q.pos, and so on.
      if (operator === "<") return compare(plus(left, constant(1)), "<=", right);
      if (operator === "<=") return compare(left, "<", plus(right, constant(1)));
      if (operator === ">") return compare(left, ">=", plus(right, constant(1)));
      if (operator === ">=") return compare(plus(left, constant(1)), ">", right);
      return given;
    }
    case 4: {
      const factor = 2 + random(3);
      return compare(times(factor, left), operator, times(factor, right));
    }
    case 5:
      return compare(minus(left, right), operator, constant(0));
    case 6: {
      const term = [qPos, qCopy, kPos, kCopy][random(4)]!;
      return compare(plus(left, term), operator, plus(term, right));
    }
    case 7:
      return both(given, truth(copies, random));
    default:
      return sameQuotient(given, random) ?? given;
  }
}

/** `x div C == y div C` in terms of `mod`, or as bounds. */
function sameQuotient({ left, operator, right }: Compare, random: Random): Predicate | undefined {
  if (operator !== "==" || left.kind !== "div" || right.kind !== "div" || left.divisor !== right.divisor)
    return undefined;
  const { divisor } = left;
  const start = (term: Term): Term => minus(term, { kind: "mod", term, divisor });
  if (random(2) === 0) return compare(start(left.term), "==", start(right.term));
  const first = times(divisor, divided(left.term, divisor));
  return both(compare(first, "<=", right.term), compare(right.term, "<", plus(first, constant(divisor))));
}

/** Something that holds of every pair of tokens. */
function truth(copies: number, random: Random): Predicate {
  const all = [
    compare(kPos, ">=", constant(0)),
    compare(constant(1), "<=", qCopy),
    compare(kCopy, "<=", constant(copies)),
    compare(qCopy, "<", constant(copies + 1)),
    compare(plus(qPos, kPos), "!=", constant(-1)),
  ];
  return all[random(all.length)]!;
}

/** Cuts one disjunct (of the whole, if it is one) by a question: A becomes A and X, or A and not X. */
function splitOne(predicate: Predicate, copies: number, random: Random): Predicate {
  if (predicate.kind === "or" && random(4) > 0) {
    const at = random(predicate.parts.length);
    return either(...predicate.parts.map((part, index) => (index === at ? splitOne(part, copies, random) : part)));
  }
  const questions = [
    compare(kCopy, "==", constant(1)),
    compare(qCopy, ">", constant(1 + random(copies))),
    compare(kPos, "<", qPos),
    compare(qPos, "<", constant(1 + random(6))),
    compare(minus(qPos, kPos), "<=", constant(random(5))),
  ];
  const question = questions[random(questions.length)]!;
  return either(both(predicate, question), both(not(question), predicate));
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const all = [...items];
  for (let at = all.length - 1; at > 0; at--) {
    const other = random(at + 1);
    [all[at], all[other]] = [all[other]!, all[at]!];
  }
  return all;
}
