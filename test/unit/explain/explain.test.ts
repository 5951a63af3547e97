/** The plan that `explain` prints is the least that any plan can be, found again by looking at every pair of tokens. */
import { describe, expect, it } from "vitest";
import type { Program } from "../../../src/compile.js";
import { type Explanation, explain } from "../../../src/explain/explain.js";
import { planOfPaper } from "../../../src/explain/plans.js";
import { visitedByStep, visitedKeys } from "../../../src/explain/visited-keys.js";
import { countRows } from "../../../src/passes/tokens/row-set.js";
import { holdsToken } from "../../../src/runtime/key-group.js";
import { eachRow } from "../../support/each-row.js";
import { liveByForce, prefillByForce, sightOf, steadyByForce } from "../passes-tokens/brute-force.js";
import { modelOf, type SmallModel } from "./small-model.js";

/** Rows and keys per layer and group, counted. The horizon is far enough for every later reader of the cases below. */
function countedByForce({ facts: { system, groups } }: Program, n: number) {
  const K = system.copies;
  const horizon = n + 26;
  const sight = sightOf(system, horizon);
  const live = liveByForce(system, sight, steadyByForce(system, sight, horizon), n);
  return prefillByForce(system, sight, live, n, 0).flatMap(({ query, kv }, layer) =>
    groups.map((group) => {
      const count = (flags: readonly boolean[]) =>
        flags.filter((flag, i) => flag && holdsToken(group, Math.floor(i / K), (i % K) + 1)).length;
      return {
        ...{ layer, group: group.name, kv_rows: count(kv), query_rows: count(query), ffn_rows: count(query) },
        read_later: count(live[layer]!),
      };
    }),
  );
}

const printed = ({ layers }: Explanation) =>
  layers.map(({ layer, group, kv_rows, query_rows, ffn_rows, read_later }) => ({
    ...{ layer, group, kv_rows, query_rows, ffn_rows, read_later },
  }));

const cases: readonly SmallModel[] = [
  { attend: "vanilla(q, k)", K: 1 },
  { attend: "naive(q, k)", K: 3 },
  { attend: "phd(q, k)", K: 3 },
  { attend: "phd_swa(q, k, 5)", K: 3 },
  { attend: "phd_swa(q, k, 1)", K: 4 },
  { attend: "phd_swa_positions(q, k, 2)", K: 3 },
  { attend: "phd_cswa(q, k, 4, 5)", K: 3 },
  { attend: "phd_cswa_positions(q, k, 3, 4)", K: 3 },
  { attend: "phd_cswa(q, k, 3, 4)", odd: "phd_swa(q, k, 6)", K: 2, layers: 4 },
  { attend: "causal(q, k) and q.pos - k.pos < 4", K: 1, layers: 4 },
  { attend: "own(q, k) or k.copy == 1 and k.pos < q.pos and (k.pos < 2 or q.pos - k.pos < 3)", K: 2 },
  { attend: "own(q, k) or original(q, k) and (q.pos - k.pos) mod 3 == q.copy - 1", K: 3 },
  { attend: "phd(q, k) or q.copy == 1 and k.copy == K and q.pos - k.pos == 2", K: 3 },
  { attend: "k.pos == q.pos or k.copy == q.copy and k.pos < q.pos and k.pos mod 4 == 0", K: 3 },
  { attend: "k.pos div 3 == q.pos div 3 and k.pos <= q.pos", odd: "phd(q, k)", K: 2, layers: 4 },
  { attend: "phd(q, k) and not (k.copy == 1 and k.pos mod 2 == 1) or own(q, k)", K: 2 },
];

describe("the rows and keys that are explained are those that are reachable", () => {
  it.each(cases)("K = $K, $attend", (each) => {
    const program = modelOf(each);
    for (const n of [1, 2, 5, 8, 13]) {
      const explanation = explain(program, n);
      expect(printed(explanation), `n = ${n}`).toEqual(countedByForce(program, n));
      for (const { retained, read_later } of explanation.layers) expect(retained).toBeGreaterThanOrEqual(read_later);
    }
  });
});

describe("the pairs that attention looks at", () => {
  it.each(cases)("are those between the bounds: K = $K, $attend", (each) => {
    const { graph, facts } = modelOf(each);
    const env = { n: 37, start: 0 };
    for (const [layer, { query }] of facts.prefill.layers.entries()) {
      const parts = graph.attends[facts.system.layers[layer]!]!.parts!;
      let counted = 0;
      for (const rows of query) {
        for (const { pos, copy } of eachRow(rows, env)) counted += visitedByStep([copy], parts, pos);
      }
      expect(visitedKeys(query, parts, env), `layer ${layer}`).toBe(counted);
    }
  });
});

describe("comparisons", () => {
  it("with K = 1, repetition and the paper coincide where there is one copy that sees all before it", () => {
    const { prefill_flops, decode_flops, kv_bytes, ...rest } = explain(modelOf({ attend: "vanilla(q, k)", K: 1 }), 50);
    for (const { value, single, repetition } of [prefill_flops, decode_flops, kv_bytes, rest.decode_bytes]) {
      expect([single, repetition]).toEqual([value, value]);
    }
    // The paper's plan has a query for every row of the last layer.
    expect(prefill_flops.paper).toBeGreaterThan(prefill_flops.value);
  });

  it("show what a window saves: repetition keeps K times the keys, the paper's prompt costs K times the work", () => {
    const K = 3;
    const { prefill_flops, decode_flops, kv_bytes } = explain(modelOf({ attend: "phd_swa(q, k, 4)", K }), 4096);
    expect(kv_bytes.repetition).toBe(K * kv_bytes.single);
    expect(kv_bytes.value / kv_bytes.single).toBeLessThan(1.01);
    expect(kv_bytes.paper).toBe(kv_bytes.value);
    expect(prefill_flops.value / prefill_flops.single).toBeLessThan(1.01);
    expect(prefill_flops.paper / prefill_flops.single).toBeGreaterThan(K);
    expect(decode_flops.value).toBeLessThan(decode_flops.repetition);
    expect(decode_flops.value).toBeLessThan(decode_flops.paper);
  });

  it("show that chunks let the paper's prompt stop at the last chunk", () => {
    const paperRows = (attend: string) => planOfPaper(modelOf({ attend, K: 3 }), 1000).prefill[0]!.input;
    // 1000 mod 32 = 8 positions of the last chunk, with two hidden tokens each.
    expect(paperRows("phd_cswa(q, k, 4, 32)")).toBe(1000 + 2 * 8);
    expect(paperRows("phd_swa(q, k, 4)")).toBe(3 * 1000);
    expect(paperRows("phd(q, k)")).toBe(1000 + 2);
  });
});

describe("reasons", () => {
  it("quote the clause that decides, with its place", () => {
    const { layers } = explain(
      modelOf({
        attend: "original(q, k) or own(q, k) or k.copy > 1 and q.copy > 1 and\n k.pos < q.pos and q.pos - k.pos < 3",
        K: 2,
      }),
      9,
    );
    expect([...new Set(layers.map(({ reason }) => reason))]).toMatchInlineSnapshot(`
      [
        "\`k.copy == 1 and k.pos < q.pos\` (std/phd.phd:11:29) reads these keys at any distance; it comes from \`attend q -> k when original(q, k) or own(q, k) or k.copy > 1 and q.copy > 1 and k.pos < q.pos and q.pos - k.pos < 3\` (small.phd:6:3)",
        "\`k.copy > 1 and q.copy > 1 and k.pos < q.pos and q.pos - k.pos < 3\` (small.phd:6:53) reads 2 keys back from the end of the sequence, and none farther",
      ]
    `);
  });

  it("name the attend where the clause is a rule of the library", () => {
    const { layers } = explain(modelOf({ attend: "phd_cswa(q, k, 4, 8)", K: 2 }), 9);
    expect(layers[1]!.reason).toMatchInlineSnapshot(
      `"\`recent(q, k, W) and same_chunk(q, k, C)\` (std/phd.phd:24:52) reads 4 keys back from the end of the sequence, and none past a multiple of 8 positions; it comes from \`attend q -> k when phd_cswa(q, k, 4, 8)\` (small.phd:6:3)"`,
    );
  });
});

describe("large sizes", () => {
  it("count rows with holes without visiting them, and to the same number", () => {
    const { facts } = modelOf({
      attend: "k.pos == q.pos or k.copy == q.copy and k.pos < q.pos and (k.pos mod 4 == 0 or k.pos mod 6 == 1)",
      K: 3,
    });
    const sets = facts.prefill.layers.flatMap(({ kv, query }) => [...kv, ...query]);
    const env = { n: 101, start: 0 };
    expect(sets.map((rows) => countRows(rows, env))).toEqual(sets.map((rows) => eachRow(rows, env).length));
  });

  it.each([
    // Per layer and group: rows with a key, rows with a query, keys kept. The last layer has one query.
    { attend: "k.pos <= q.pos and q.pos div 1000000000 == k.pos div 1000000000", lower: [1e9, 1e9, 0] },
    { attend: "k.pos <= q.pos and (k.pos mod 1000000007 == 3 or k.pos == q.pos)", lower: [3, 3, 2e9] },
    { attend: "causal(q, k) and (k.pos < 4 or q.pos - k.pos < 1000000000)", lower: [4, 4, 4] },
  ])("count two thousand million positions at once: $attend", ({ attend, lower }) => {
    const began = performance.now();
    const { layers, prefill_flops } = explain(modelOf({ attend, K: 2, layers: 2 }), 2e9);
    const [first] = layers;
    expect([first!.kv_rows, first!.query_rows, first!.retained]).toEqual(lower);
    expect(prefill_flops.value).toBeGreaterThan(0);
    expect(performance.now() - began).toBeLessThan(20_000);
  });

  it.each([
    { attend: "phd_swa(q, k, 16)", K: 256, layers: 16 },
    { attend: "phd_cswa(q, k, 16, 32)", K: 256, layers: 16 },
    { attend: "naive(q, k)", K: 256, layers: 16 },
    { attend: "phd(q, k) or q.copy == k.copy and k.pos < q.pos and q.pos - k.pos < 8", K: 64, layers: 16 },
    { attend: "k.copy == 1 and causal(q, k) and (q.pos - k.pos) mod 4 == 0 or own(q, k)", K: 8, layers: 4 },
    { attend: "k.pos == q.pos or k.copy == q.copy and k.pos < q.pos and k.pos mod 4 == 0", K: 16, layers: 4 },
  ])("K = $K, $attend are explained at 8192 and 2^20 positions", (each) => {
    const program = modelOf(each);
    for (const n of [8192, 2 ** 20]) {
      const began = performance.now();
      const { layers, kv_bytes } = explain(program, n);
      expect(layers.every(({ kv_rows }) => Number.isSafeInteger(kv_rows))).toBe(true);
      expect(Number.isSafeInteger(kv_bytes.repetition)).toBe(true);
      // A few milliseconds; the machines that run the tests may be busy.
      expect(performance.now() - began).toBeLessThan(3000);
    }
  });
});
