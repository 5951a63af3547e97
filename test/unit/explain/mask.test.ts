/** Pictures of who sees whom. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { maskPictures } from "../../../src/explain/mask-picture.js";
import { drawMasks } from "../../../src/explain/mask-svg.js";
import { printMask } from "../../../src/explain/mask-text.js";
import { sees } from "../../../src/ir/relation/predicate.js";
import { runCli, scratchFolder } from "../../cli/run-cli.js";
import { modelOf } from "./small-model.js";

const windowed = modelOf({ attend: "phd_swa(q, k, 2)", K: 2, layers: 2 });

describe("the text of a mask", () => {
  it("shows PHD with a window in stream order and in grouped order, with the keys that stay", () => {
    expect(`\n${maskPictures(windowed, 6).map(printMask).join("\n\n")}\n`).toMatchInlineSnapshot(`
      "
      layers 0 to 1, stream order: attend q -> k when phd_swa(q, k, 2)
      originals for ever, hidden ring of 2; 0 tiles full, 3 in part, 1 never visited
      copy |12121212|1212|
      kept |* * * * |****|
           +--------+----+
       0.1 |x.......|    |
       0.2 |xx......|    |
       1.1 |x.x.....|    |
       1.2 |xxxx....|    |
       2.1 |x.x.x...|    |
       2.2 |xxxxxx..|    |
       3.1 |x.x.x.x.|    |
       3.2 |x.xxxxxx|    |
           +--------+----+
       4.1 |x.x.x.x.|x...|
       4.2 |x.x.xxxx|xx..|
       5.1 |x.x.x.x.|x.x.|
       5.2 |x.x.x.xx|xxxx|
           +--------+----+

      layers 0 to 1, grouped order: attend q -> k when phd_swa(q, k, 2)
      originals for ever, hidden ring of 2; 0 tiles full, 3 in part, 1 never visited
      copy |111111|222222|
      kept |******|    **|
           +------+------+
       0.1 |x.....|      |
       1.1 |xx....|      |
       2.1 |xxx...|      |
       3.1 |xxxx..|      |
       4.1 |xxxxx.|      |
       5.1 |xxxxxx|      |
           +------+------+
       0.2 |x.....|x.....|
       1.2 |xx....|xx....|
       2.2 |xxx...|xxx...|
       3.2 |xxxx..|.xxx..|
       4.2 |xxxxx.|..xxx.|
       5.2 |xxxxxx|...xxx|
           +------+------+
      "
    `);
  });

  it("is one for each relation and way of keeping", () => {
    const { length } = maskPictures(modelOf({ attend: "phd(q, k)", odd: "phd_swa(q, k, 3)", K: 2, layers: 4 }), 3);
    // Layers 0 and 2; layers 1 and 3: each in two orders. With K = 2 and one hidden copy, the last layer keeps as the others do.
    expect(length).toBe(4);
  });
});

describe("a picture of a mask", () => {
  const [stream, grouped] = maskPictures(windowed, 24) as [
    ReturnType<typeof maskPictures>[0],
    ReturnType<typeof maskPictures>[0],
  ];

  it("puts the same pairs into either order", () => {
    for (const { tokens, visible } of [stream, grouped]) {
      tokens.forEach((query, q) => {
        tokens.forEach((key, k) => {
          expect(visible[q]![k]).toBe(sees(windowed.facts.system.predicates[0]!, query, key));
        });
      });
    }
    expect(grouped.tokens.slice(0, 24).every(({ copy }) => copy === 1)).toBe(true);
  });

  it("has fewer tiles to visit in grouped order", () => {
    const visited = ({ tiles }: typeof stream) => tiles.filter(({ density }) => density !== "empty").length;
    expect(visited(grouped)).toBeLessThan(visited(stream));
  });

  it("covers the mask with tiles, once", () => {
    for (const { tiles, tokens } of [stream, grouped]) {
      const covered = tiles.map(
        ({ firstQuery, endQuery, firstKey, endKey }) => (endQuery - firstQuery) * (endKey - firstKey),
      );
      expect(covered.reduce((a, b) => a + b)).toBe(tokens.length ** 2);
    }
  });

  it("marks the keys that the cache keeps", () => {
    const kept = stream.tokens.filter((_, place) => stream.kept[place]);
    expect(kept.filter(({ copy }) => copy === 1)).toHaveLength(24);
    expect(kept.filter(({ copy }) => copy === 2)).toEqual([22, 23].map((pos) => ({ pos, copy: 2 })));
  });

  it("is well-formed SVG that shows every visible pair", () => {
    const svg = drawMasks("Small", [stream, grouped]);
    expect(svg.match(/<g /g)).toHaveLength(2);
    expect(svg.match(/<\/g>/g)).toHaveLength(2);
    expect(svg).not.toMatch(/&(?!amp;|lt;|gt;)|NaN|undefined/);
    const area = [...svg.matchAll(/width="(\d+)" height="6" fill="#(?:1f4e79|d9822b)"/g)]
      .map(([, width]) => (Number(width) + 2) / 8)
      .reduce((a, b) => a + b);
    expect(area).toBe(2 * stream.visible.flat().filter(Boolean).length);
  });
});

describe("explain --mask", () => {
  const folder = scratchFolder();
  const model = "examples/phd-swa-2-16.phd";

  it("prints the picture below the figures", async () => {
    const { code, stdout } = await runCli(["explain", model, "--mask", "--set", "n=10"]);
    expect(code).toBe(0);
    expect(stdout).toContain("a prompt of n = 10 positions");
    expect(stdout.match(/grouped order/g)).toHaveLength(1);
  });

  it("writes SVG to a file, and chooses a short prompt by itself", async () => {
    const file = join(folder, "mask.svg");
    expect((await runCli(["explain", model, "--mask", file])).stdout).toContain("a prompt of n = 24 positions");
    expect(readFileSync(file, "utf8")).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
  });

  it("refuses prompts that no terminal can show", async () => {
    const { code, stderr } = await runCli(["explain", model, "--mask", "--set", "n=1000"]);
    expect(code).toBe(2);
    expect(stderr).toContain("from 1 to 80, to be drawn with K = 2");
  });
});
