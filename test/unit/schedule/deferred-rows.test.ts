import { describe, expect, it } from "vitest";
import { mostDeferredRows } from "../../../src/schedule/deferred-rows.js";

/** What reads the stream in the paper's two models. */
const products = {
  "550M, queries, keys, values": { inputs: 1536, outputs: 2304, matrices: 1 },
  "550M, gate and up": { inputs: 1536, outputs: 4096, matrices: 2 },
  "1.2B, queries, keys, values": { inputs: 2048, outputs: 3072, matrices: 1 },
  "1.2B, gate and up": { inputs: 2048, outputs: 8192, matrices: 2 },
};

describe("rows in which a product on matrix units computes the norm before it", () => {
  it("are eight or nearly in the paper's models, more where memory is busy with weights, and fewer where those are small", () => {
    const most = Object.entries(products).map(([name, product]) => {
      const [floats, int8, int4] = [undefined, 8, 4].map((bits) =>
        mostDeferredRows(product, bits === undefined ? undefined : { bits: bits as 4 | 8, group: 32 }),
      );
      return `${name}: ${floats}, ${int8} with 8 bits, ${int4} with 4`;
    });
    expect(most.join("\n")).toMatchInlineSnapshot(`
      "550M, queries, keys, values: 8, 8 with 8 bits, 8 with 4
      550M, gate and up: 16, 5 with 8 bits, 5 with 4
      1.2B, queries, keys, values: 5, 5 with 8 bits, 5 with 4
      1.2B, gate and up: 6, 3 with 8 bits, 2 with 4"
    `);
  });

  it("are fewer the longer a row is, and none where a single one costs more than a dispatch", () => {
    const of = (inputs: number) => mostDeferredRows({ inputs, outputs: 8192, matrices: 1 }, { bits: 4, group: 32 });
    const most = [64, 1024, 4096, 65536].map(of);
    expect(most).toEqual([...most].sort((a, b) => b - a));
    expect(most[0]).toBe(32);
    expect(most.at(-1)).toBe(0);
  });
});
