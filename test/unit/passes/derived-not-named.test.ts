/** Plans and kernels follow from what a relation means, not from what it is called or how it is written. */
import { describe, expect, it } from "vitest";
import { compileSource } from "../../../src/compile.js";
import { portableCapabilities } from "../../../src/ir/kernel/capabilities.js";
import { modelText } from "../dsl/support.js";

/** Everything of a program that a run depends on: rows, stores, steps, and kernels by their hashes. */
function planOf(attend: string, above = "", copies = 3): unknown {
  const text = modelText({ attend, above, params: ", W = 5, C = 8" }).replace("K = 2", `K = ${copies}`);
  const { program, diagnostics } = compileSource(
    { name: "model.phd", text },
    { target: "webgpu", dtype: "f32", capabilities: portableCapabilities },
  );
  expect(diagnostics).toEqual([]);
  const { rows, stores, phases, kernels, groups, buffers, memory } = program!.manifest;
  const steps = JSON.parse(JSON.stringify(phases, (key, value: unknown) => (key === "origin" ? undefined : value)));
  return { rows, stores, steps, groups, buffers, memory, kernels: kernels.map(({ name, sha256 }) => [name, sha256]) };
}

const original = "k.copy == 1 and k.pos < q.pos";
const own = "k.pos == q.pos and k.copy <= q.copy";

describe("equal relations give equal plans and kernels", () => {
  it("whatever the rules are called", () => {
    const renamed = `
rule before(a, b)     = b.copy == 1 and b.pos < a.pos
rule beside(a, b)     = b.pos == a.pos and b.copy <= a.copy
index place(t)        = t.pos * (K - 1) + t.copy - 2
rule near(a, b, w)    = a.copy > 1 and b.copy > 1 and b.pos < a.pos and place(a) - place(b) <= w
rule block(a, b, c)   = a.pos div c == b.pos div c
rule mine(a, b, w, c) = before(a, b) or beside(a, b) or near(a, b, w) and block(a, b, c)`;
    expect(planOf("mine(q, k, W, C)", renamed)).toEqual(planOf("phd_cswa(q, k, W, C)"));
  });

  it.each([
    ["the other way round", `k.copy <= q.copy and q.pos == k.pos or q.pos > k.pos and not (k.copy != 1)`],
    ["with one more on either side", `k.copy < 2 and k.pos + 1 <= q.pos or k.pos == q.pos and k.copy < q.copy + 1`],
    [
      "distributed",
      `(k.copy == 1 or k.pos == q.pos) and (k.pos < q.pos or k.pos == q.pos and k.copy <= q.copy) and (k.copy == 1 or k.copy <= q.copy)`,
    ],
    ["with a window of nothing", `${original} or ${own} or k.copy > 1 and k.pos < q.pos and q.pos - k.pos <= 0`],
    ["by contradiction", `not (not (${original}) and not (${own}))`],
  ])("PHD written %s", (_, attend) => {
    expect(planOf(attend)).toEqual(planOf("phd(q, k)"));
  });

  it("chunks written in other words", () => {
    const chunk = "k.pos >= q.pos - q.pos mod C";
    expect(planOf(`phd(q, k) or recent(q, k, W) and ${chunk}`)).toEqual(planOf("phd_cswa(q, k, W, C)"));
  });

  it("windows in tokens and in positions agree for two copies, and for two copies only", () => {
    expect(planOf("phd_swa(q, k, W)", "", 2)).toEqual(planOf("phd_swa_positions(q, k, W)", "", 2));
    expect(planOf("phd_swa(q, k, W)", "", 3)).not.toEqual(planOf("phd_swa_positions(q, k, W)", "", 3));
  });
});
