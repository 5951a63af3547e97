import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { stdLibrary } from "../../../src/generated/std-library.js";
import { printGraph } from "../../../src/ir/graph/print.js";
import { printPredicateText } from "../../../src/ir/graph/text/predicate-text.js";
import { type Predicate, sees, type Token } from "../../../src/ir/relation/predicate.js";
import { predicateOf } from "../../support/predicates.js";
import { graphOf, modelText, reportsOf } from "./support.js";

function relationOf(attend: string, set: Record<string, number> = {}, above = ""): Predicate {
  return graphOf(modelText({ attend, above, params: ", W = 3, C = 4" }), { set }).attends[0]!.predicate;
}

function* tokenPairs(copies: number, positions: number): Iterable<[Token, Token]> {
  for (let q = 0; q < positions * copies; q++) {
    for (let k = 0; k < positions * copies; k++) {
      yield [q, k].map((index) => ({ pos: Math.floor(index / copies), copy: (index % copies) + 1 })) as [Token, Token];
    }
  }
}

const variants = {
  vanilla: { rule: "vanilla(q, k)" },
  naive: { rule: "naive(q, k)" },
  phd: { rule: "phd(q, k)" },
  "phd-swa": { rule: "phd_swa(q, k, W)" },
  "phd-cswa": { rule: "phd_cswa(q, k, W, C)" },
} as const;

describe("the library's rules", () => {
  it.each(Object.entries(variants))("say who sees whom as the paper does: %s", (variant, { rule }) => {
    for (const unit of ["tokens", "positions"] as const) {
      const windowed = variant === "phd-swa" || variant === "phd-cswa";
      if (unit === "positions" && !windowed) continue;
      const text = unit === "positions" ? rule.replace("(", "_positions(") : rule;
      for (const [copies, window, chunk] of [
        [1, 2, 3],
        [2, 0, 1],
        [3, 3, 4],
        [4, 5, 2],
      ] as const) {
        if (variant === "vanilla" && copies > 1) continue;
        const stated = relationOf(text, { K: copies, W: window, C: chunk });
        const expected = predicateOf({ variant, copies, window, chunk, unit });
        for (const [q, k] of tokenPairs(copies, 9)) {
          expect(sees(stated, q, k), `${text} ${JSON.stringify({ copies, window, chunk, q, k })}`).toBe(
            sees(expected, q, k),
          );
        }
      }
    }
  });
});

describe("a predicate", () => {
  it("is closed: rules and indexes are expanded, parameters are numbers", () => {
    expect(printPredicateText(relationOf("phd_cswa(q, k, W, C)"))).toMatchInlineSnapshot(
      `"k.copy == 1 and k.pos < q.pos or k.pos == q.pos and k.copy <= q.copy or q.copy > 1 and k.copy > 1 and k.pos < q.pos and q.pos + q.copy - 2 - (k.pos + k.copy - 2) <= 3 and q.pos div 4 == k.pos div 4"`,
    );
  });

  it("does not depend on the names of rules", () => {
    const above = "rule mine(first, second, reach) = phd_swa(first, second, reach)";
    expect(printPredicateText(relationOf("mine(q, k, W)", {}, above))).toBe(
      printPredicateText(relationOf("phd_swa(q, k, W)")),
    );
  });

  it("does not depend on the names of the library", () => {
    const names = [...stdLibrary["phd.phd"]!.matchAll(/^(?:rule|index) (\w+)/gm)].map((match) => match[1]!);
    const rename = (text: string) =>
      text.replaceAll(/\b[a-z_]+(?=\()/g, (name) => (names.includes(name) ? `renamed_${names.indexOf(name)}` : name));
    const library = { ...stdLibrary, "phd.phd": rename(stdLibrary["phd.phd"]!) };
    for (const attend of ["vanilla(q, k)", "naive(q, k)", "phd_cswa(q, k, 3, 4)", "phd_swa_positions(q, k, 2)"]) {
      const text = modelText({ attend });
      expect(rename(text)).not.toBe(text);
      expect(printGraph(graphOf(rename(text), { library }))).toBe(printGraph(graphOf(text)));
    }
  });

  it("may use rules of the model, which see its parameters", () => {
    const text = modelText({
      params: ", W = 3",
      items: "index place(t) = t.pos * K + t.copy\n  rule near(q, k) = place(q) - place(k) <= W",
      attend: "phd(q, k) and near(q, k)",
    });
    expect(reportsOf(text)).toBe("");
  });

  it("may name its tokens as it likes", () => {
    const text = modelText({}).replace("attend q -> k when phd(q, k)", "attend query -> key when phd(query, key)");
    expect(printPredicateText(graphOf(text).attends[0]!.predicate)).toBe(printPredicateText(relationOf("phd(q, k)")));
  });

  it("folds what parameters decide", () => {
    expect(printPredicateText(relationOf("W == 3 and k.pos <= q.pos or C == 5"))).toBe("k.pos <= q.pos");
    expect(printPredicateText(relationOf("not (k.pos <= q.pos) or W > 0"))).toBe("true");
  });

  it("binds `not` before `and` before `or`", () => {
    const text = "not k.pos < q.pos and k.copy == 1 or q.copy == 2";
    const grouped = "((not (k.pos < q.pos)) and (k.copy == 1)) or (q.copy == 2)";
    expect(printPredicateText(relationOf(text))).toBe(printPredicateText(relationOf(grouped)));
  });

  it("means what its text says, whatever the operators", () => {
    fc.assert(
      fc.property(conditions, ({ text, value }) => {
        const stated = relationOf(text);
        for (const [q, k] of tokenPairs(2, 4)) expect(sees(stated, q, k)).toBe(value(q, k));
      }),
      { numRuns: 60, seed: 7 },
    );
  });
});

/** A text of the language beside what it means. */
interface Meaning<Result> {
  readonly text: string;
  readonly value: (q: Token, k: Token) => Result;
}

const { term: terms } = fc.letrec<{ term: Meaning<number> }>((tie) => ({
  term: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom<Meaning<number>>(
      { text: "q.pos", value: (q) => q.pos },
      { text: "q.copy", value: (q) => q.copy },
      { text: "k.pos", value: (_, k) => k.pos },
      { text: "k.copy", value: (_, k) => k.copy },
    ),
    fc.nat(9).map((n): Meaning<number> => ({ text: String(n), value: () => n })),
    fc.tuple(tie("term"), tie("term")).map(
      ([a, b]): Meaning<number> => ({
        text: `${a.text} + (${b.text})`,
        value: (q, k) => a.value(q, k) + b.value(q, k),
      }),
    ),
    fc.tuple(tie("term"), tie("term")).map(
      ([a, b]): Meaning<number> => ({
        text: `${a.text} - (${b.text})`,
        value: (q, k) => a.value(q, k) - b.value(q, k),
      }),
    ),
    fc
      .tuple(tie("term"), fc.nat(4))
      .map(([a, n]): Meaning<number> => ({ text: `${n} * (${a.text})`, value: (q, k) => n * a.value(q, k) })),
    fc.tuple(tie("term"), fc.integer({ min: 1, max: 5 })).map(
      ([a, n]): Meaning<number> => ({
        text: `(${a.text}) div ${n}`,
        value: (q, k) => Math.floor(a.value(q, k) / n),
      }),
    ),
    fc.tuple(tie("term"), fc.integer({ min: 1, max: 5 })).map(
      ([a, n]): Meaning<number> => ({
        text: `(${a.text}) mod ${n}`,
        value: (q, k) => a.value(q, k) - n * Math.floor(a.value(q, k) / n),
      }),
    ),
    tie("term").map((a): Meaning<number> => ({ text: `-(${a.text})`, value: (q, k) => -a.value(q, k) })),
  ),
}));

const comparison: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  "==": (a, b) => a === b,
  "!=": (a, b) => a !== b,
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
};

const { condition: conditions } = fc.letrec<{ condition: Meaning<boolean> }>((tie) => ({
  condition: fc.oneof(
    { maxDepth: 3 },
    fc.tuple(terms, fc.constantFrom(...Object.keys(comparison)), terms).map(
      ([a, operator, b]): Meaning<boolean> => ({
        text: `${a.text} ${operator} ${b.text}`,
        value: (q, k) => comparison[operator]!(a.value(q, k), b.value(q, k)),
      }),
    ),
    fc.tuple(tie("condition"), fc.boolean(), tie("condition")).map(
      ([a, both, b]): Meaning<boolean> => ({
        text: `(${a.text}) ${both ? "and" : "or"} (${b.text})`,
        value: (q, k) => (both ? a.value(q, k) && b.value(q, k) : a.value(q, k) || b.value(q, k)),
      }),
    ),
    tie("condition").map((a): Meaning<boolean> => ({ text: `not (${a.text})`, value: (q, k) => !a.value(q, k) })),
  ),
}));
