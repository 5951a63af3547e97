import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Diagnostic } from "../../../src/diagnostics/diagnostic.js";
import { type Predicate, sees, type Token } from "../../../src/ir/relation/predicate.js";
import type { AttentionSystem } from "../../../src/passes/tokens/attention-system.js";
import { checkRelation } from "../../../src/passes/tokens/check-relation.js";
import { and, arbitraryPredicate, at, compare, mod, num, or, plus } from "../relation/arbitrary-predicate.js";
import { affordable, mostly } from "../relation/within-budget.js";
import { sightOf, steadyByForce, tokens } from "./brute-force.js";
import { costly, modelOf, naive, own, phd, phdCswa, phdSwa, vanilla } from "./library.js";

const messages = (diagnostics: readonly Diagnostic[]) => diagnostics.map(({ code, message }) => `${code} ${message}`);

describe("a relation is checked with a proof and an example", () => {
  it("accepts every variant of the library", () => {
    for (const predicate of [naive, phd, phdSwa(4, 7), phdCswa(4, 7, 8)]) {
      expect(checkRelation(modelOf(4, predicate, 3))).toEqual([]);
    }
  });

  it("rejects a query that sees a key of a later step, and names both", () => {
    const ahead = compare(at("k.pos"), "<=", plus(at("q.pos"), num(1)));
    expect(messages(checkRelation(modelOf(2, ahead, 2)))).toEqual([
      "PHD0401 A query sees a key of a later step: query pos 0 copy 1 sees key pos 1 copy 1",
    ]);
  });

  it("finds the future behind a chunk that looks harmless", () => {
    const farAhead = or(
      vanilla,
      and(
        compare(at("q.pos"), "==", num(1000)),
        compare(at("k.pos"), "==", num(1007)),
        compare(at("k.copy"), "==", num(2)),
      ),
    );
    expect(messages(checkRelation(modelOf(2, farAhead, 1)))).toEqual([
      "PHD0401 A query sees a key of a later step: query pos 1000 copy 1 sees key pos 1007 copy 2",
    ]);
  });

  it("accepts later copies of the same position, which one step computes together", () => {
    const allCopies = or(phd, compare(at("k.pos"), "==", at("q.pos")));
    expect(checkRelation(modelOf(3, allCopies, 2))).toEqual([]);
  });

  it("rejects a demanded row that sees nothing", () => {
    const past = compare(at("k.pos"), "<", at("q.pos"));
    expect(messages(checkRelation(modelOf(2, past, 1)))).toEqual([
      "PHD0402 A row sees nothing: query pos 0 copy 2 sees no key, so its softmax is empty",
    ]);
  });

  it("accepts a blind row that no prediction depends on", () => {
    const blindOdd = or(
      own,
      and(vanilla, compare(mod(at("k.pos"), 2), "==", num(0)), compare(at("q.copy"), "==", num(3))),
    );
    const first: Predicate = and(blindOdd, compare(at("q.copy"), "!=", num(1)));
    const system: AttentionSystem = { copies: 3, predictCopy: 3, predicates: [first], layers: [0] };
    expect(checkRelation(system).filter(({ severity }) => severity === "error")).toEqual([]);
    expect(messages(checkRelation({ ...system, layers: [0, 0] }))[0]).toBe(
      "PHD0402 A row sees nothing: query pos 0 copy 1 sees no key, so its softmax is empty",
    );
  });

  it("warns of copies that no output depends on", () => {
    const alone = and(vanilla, compare(at("k.copy"), "==", at("q.copy")));
    expect(messages(checkRelation(modelOf(4, alone, 2)))).toEqual(["PHD0403 No output depends on copies 1 to 3"]);
  });

  describe("where a relation is too costly to follow exactly", () => {
    const upTo = (copy: number) => compare(at("k.copy"), "<=", num(copy));

    it("rejects a row that sees nothing by an example among the first positions", () => {
      expect(messages(checkRelation(modelOf(3, and(costly, upTo(2)), 4)))[0]).toMatch(
        /^PHD0402 A row sees nothing: query pos \d+ copy \d sees no key/,
      );
    });

    it("is content where every copy is used among the first positions and every row sees itself", () => {
      expect(messages(checkRelation(modelOf(3, or(own, and(costly, upTo(3))), 4)))).toEqual([]);
    });

    it("says what it could not decide", () => {
      const late = and(costly, compare(at("k.pos"), ">=", num(5000)), upTo(2));
      const self = and(compare(at("k.pos"), "==", at("q.pos")), compare(at("k.copy"), "==", at("q.copy")));
      const found = messages(checkRelation(modelOf(3, or(self, late), 4)));
      expect(found).toHaveLength(1);
      expect(found[0]).toMatch(
        /^PHD0408 It could not be decided whether a prediction depends on copies 1 to 2; the costly term is `.*`$/,
      );
    });
  });

  it("points at the alternative that is to blame", () => {
    const span = { file: { name: "m.phd", text: "k.pos < q.pos or k.pos == 7" }, start: 17, end: 27 };
    const seven = { ...compare(at("k.pos"), "==", num(7)), span } as Predicate;
    const [diagnostic] = checkRelation(modelOf(1, or(vanilla, seven), 1));
    expect(diagnostic!.labels.map((label) => label.span)).toEqual([span]);
  });

  it("finds a later step, a blind row and an unused copy exactly when brute force does", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 2 }),
        arbitraryPredicate,
        (copies, layers, any) => {
          // Half of the relations are cut to the past, else almost all would look into the future.
          for (const predicate of [any, and(any, vanilla)]) {
            const system = modelOf(copies, predicate, layers);
            const found = affordable(() => checkRelation(system));
            expect(disagreement(system, predicate, found)).toBeUndefined();
          }
        },
      ),
      { numRuns: 1000, ...mostly },
    );
  });
});

const HORIZON = 16;

/** What is said and not so, or so and not said; what only positions beyond the horizon show is taken from the report's example. */
function disagreement(system: AttentionSystem, predicate: Predicate, found: readonly Diagnostic[]): string | undefined {
  const all = tokens(HORIZON, system.copies);
  const code = (wanted: string) => found.find((diagnostic) => diagnostic.code === wanted);
  const future = code("PHD0401");
  if (future !== undefined) {
    const [qPos, qCopy, kPos, kCopy] = numbersOf(future).slice(-4) as [number, number, number, number];
    const isExample = sees(predicate, { pos: qPos, copy: qCopy }, { pos: kPos, copy: kCopy }) && kPos > qPos;
    return isExample ? undefined : `no example: ${future.message}`;
  }
  if (all.some((query) => all.some((key) => key.pos > query.pos && sees(predicate, query, key))))
    return "missed a later step";
  const sight = sightOf(system, HORIZON);
  const steady = steadyByForce(system, sight, HORIZON);
  const blind = (query: Token, i: number) =>
    !all.some((_, k) => sight[0]![i]![k]) && sees(predicate, query, query) === false;
  const blindDemanded = all.some((query, i) => steady.some(({ queries }) => queries[i]) && blind(query, i));
  const report = code("PHD0402");
  if (report === undefined) return blindDemanded ? "missed a blind row" : undefined;
  const [pos, copy] = numbersOf(report).slice(0, 2) as [number, number];
  const seesAny = tokens(pos + 1, system.copies).some((key) => sees(predicate, { pos, copy }, key));
  if (seesAny) return `no example: ${report.message}`;
  const unused = found.filter((diagnostic) => diagnostic.code === "PHD0403");
  const used = new Set(
    all.filter((_, i) => steady.some(({ queries, keys }) => queries[i] || keys[i])).map((t) => t.copy),
  );
  const claimed = unused.flatMap((diagnostic) => {
    const [first, last] = numbersOf(diagnostic) as [number, number | undefined];
    return Array.from({ length: (last ?? first) - first + 1 }, (_, i) => first + i);
  });
  const wrong = claimed.find((copy) => used.has(copy));
  return wrong === undefined ? undefined : `copy ${wrong} is used`;
}

const numbersOf = ({ message }: Diagnostic): number[] => [...message.matchAll(/\d+/g)].map(([text]) => Number(text));
