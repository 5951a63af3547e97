/** Kernels compute relations in i32; contexts for which that goes wrong are refused. */
import { describe, expect, it } from "vitest";
import { compileSource } from "../../../src/compile.js";
import { compileOptions, compileSmall, differenceAt, runOf, sourceOf, usualBase } from "../../laws/small-models.js";

const contextOf = (attend: string) => {
  const source = sourceOf(usualBase, { variant: "phd", repeat: 2, attend });
  const { program, diagnostics } = compileSource(source, compileOptions);
  const { max } = program!.manifest.symbols.find(({ name }) => name === "context")!;
  return { max, messages: diagnostics.map(({ code, message }) => `${code} ${message}`) };
};

describe("the longest context", () => {
  it.each(["phd(q, k)", "phd_cswa(q, k, 16, 32)", "causal(q, k) and q.pos <= 2 * k.pos or own(q, k)"])(
    "is not bounded by %s",
    (attend) => {
      const { max, messages } = contextOf(attend);
      expect(max).toBe(2 ** 20);
      expect(messages.filter((message) => message.startsWith("PHD0409"))).toEqual([]);
    },
  );

  const steep = "causal(q, k) and 100000000 * k.pos <= 99999999 * q.pos or own(q, k)";

  it("ends before a factor times a position leaves 32 bits", () => {
    const { max, messages } = contextOf(steep);
    expect(max).toBe(22);
    expect(messages).toContainEqual(
      "PHD0409 Sequences can have 22 positions at most: beyond them the relation has values of 2^31 and more",
    );
  });

  it("is long enough: up to there kernels give the dense logits, and one position more is refused", () => {
    const model = compileSmall(usualBase, { variant: "phd", repeat: 2, attend: steep });
    const ids = Array.from({ length: 22 }, (_, at) => (at * at + 3) % 11);
    const run = runOf(model, { batch: 1, context: 22, splits: 2 });
    const [logits] = run.prefill([ids]);
    // float32 sums of a few dozen terms.
    expect(differenceAt(model.dense(ids), 21, logits!)).toBeLessThan(1e-4);
    expect(() => runOf(model, { batch: 1, context: 23, splits: 2 })).toThrow("context is 23");
  });
});
