import { describe, expect, it } from "vitest";
import type { Layers } from "../../../src/ir/graph/ops.js";
import { parseGraph } from "../../../src/ir/graph/parse.js";
import { printGraph } from "../../../src/ir/graph/print.js";
import { verifyGraph } from "../../../src/ir/graph/verify.js";
import { bundledTexts, graphOf, modelText } from "../dsl/support.js";

const examples = bundledTexts().filter(({ name }) => name.startsWith("examples/"));

function loopOf(text: string, set: Record<string, number> = {}): Layers {
  const loop = graphOf(text, { set }).body.ops.find((op) => op.kind === "layers");
  if (loop === undefined) throw new Error("the model has no layers");
  return loop;
}

describe("lowering", () => {
  it.each(examples)("makes a valid graph of $name, which prints and parses back", ({ text }) => {
    const graph = graphOf(text);
    verifyGraph(graph);
    expect(printGraph(parseGraph(printGraph(graph)))).toBe(printGraph(graph));
  });

  it.each(examples)("keeps the graph of $name as recorded", async ({ name, text }) => {
    const golden = name.replace("examples/", "graphs/").replace(".phd", ".phdir");
    await expect(printGraph(graphOf(text))).toMatchFileSnapshot(golden);
  });

  it("keeps the loop a loop: the graph does not grow with the number of layers", () => {
    const sizeOf = (layers: number) => JSON.stringify(loopOf(modelText({}), { layers }).classes).length;
    expect(sizeOf(400)).toBe(sizeOf(2));
  });

  it("gives every kind of layer one body", () => {
    const layer = "if l mod 4 == 3 { x += x } else if l < 2 { x = x * 2 }";
    const { classes, classOf } = loopOf(modelText({ layer }), { layers: 8 });
    expect(classes.map(({ name }) => name)).toMatchInlineSnapshot(`
      [
        "not (l mod 4 == 3) and l < 2",
        "not (l mod 4 == 3) and not (l < 2)",
        "l mod 4 == 3",
      ]
    `);
    expect(classOf).toEqual([0, 0, 1, 2, 1, 1, 1, 2]);
  });

  it("shares a relation between layers that state the same one", () => {
    const layer = `if l mod 2 == 0 { attend q -> k when phd(q, k) } else { x += x }`;
    expect(graphOf(modelText({ layer })).attends).toHaveLength(1);
  });

  it("lets layers attend in ways of their own", () => {
    const attend = "attend q -> k when if l mod 2 == 0 { phd_swa(q, k, 4) } else { phd(q, k) }";
    const graph = graphOf(modelText({ layer: attend }));
    expect(graph.attends).toHaveLength(2);
    const loop = graph.body.ops.find((op) => op.kind === "layers");
    const used = loop?.classes.map(({ body }) =>
      body.ops.flatMap((op) => (op.kind === "attention" ? [op.attend] : [])),
    );
    expect(used).toEqual([[0], [1]]);
  });

  it("carries a value from before the loop through all layers", () => {
    const { inputs, classes } = loopOf(
      modelText({ layer: "x += first" }).replace("for l", "let first = x * 2\n    for l"),
    );
    expect(inputs).toHaveLength(2);
    const [{ body }] = classes as [(typeof classes)[0]];
    expect(body.yields[1]).toBe(body.args[1]!.id);
  });

  it("declares a weight of the surroundings again in every body that reads it", () => {
    const text = modelText({ layer: "x += x * shared" }).replace(
      "for l",
      'let shared = weight "shared" [dim]\n    for l',
    );
    const loop = loopOf(text);
    expect(loop.inputs).toHaveLength(1);
    const tensors = loop.classes[0]!.body.ops.flatMap((op) => (op.kind === "weight" ? [op.tensor] : []));
    expect(tensors).toContain("shared.weight");
  });

  it("computes again in a body what the surroundings compute from weights alone", () => {
    const text = modelText({ layer: "x += x * shared" }).replace(
      "for l",
      'let shared = 1 + weight "shared" [dim]\n    for l',
    );
    const loop = loopOf(text);
    expect(loop.inputs).toHaveLength(1);
    expect(loop.classes[0]!.body.ops.some((op) => op.kind === "scale")).toBe(true);
  });

  it("splits the index of a rotation into a part for positions and one for copies", () => {
    const rotated = (index: string) => {
      const loop = loopOf(modelText({}).replace("rotate t by t.pos", `rotate t by ${index}`));
      const rope = loop.classes[0]!.body.ops.find((op) => op.kind === "rope");
      return rope?.index;
    };
    expect(rotated("t.pos")).toEqual({ byPos: "pos", byCopy: 0 });
    expect(rotated("stream(t)")).toMatchInlineSnapshot(`
      {
        "byCopy": "copy",
        "byPos": {
          "args": [
            {
              "args": [
                "pos",
                2,
              ],
              "op": "mul",
            },
            -1,
          ],
          "op": "add",
        },
      }
    `);
    expect(rotated("2 * (t.pos div 4 - t.copy) + 1")).toMatchInlineSnapshot(`
      {
        "byCopy": {
          "args": [
            "copy",
            -2,
          ],
          "op": "mul",
        },
        "byPos": {
          "args": [
            {
              "args": [
                {
                  "args": [
                    "pos",
                    4,
                  ],
                  "op": "div",
                },
                2,
              ],
              "op": "mul",
            },
            1,
          ],
          "op": "add",
        },
      }
    `);
  });

  it("names tensors by the prefixes around them and the suffix of their form", () => {
    const layer = `within "a" {
        let y = linear(x, weight "b" [dim, dim], bias "b" [dim]) + tensor "c.scale" [dim]
        x += y
      }`;
    const tensors = loopOf(modelText({ layer })).classes[0]!.body.ops.flatMap((op) =>
      op.kind === "weight" ? [op.tensor] : [],
    );
    expect(tensors).toEqual(
      expect.arrayContaining(["layers.{l}.a.b.weight", "layers.{l}.a.b.bias", "layers.{l}.a.c.scale"]),
    );
  });

  it("computes frequencies from the library's text", () => {
    const frequencies = (items: string, above: string) => {
      const text = modelText({ above }).replace("rotate t by t.pos", `rotate t by t.pos, pair i at ${items}`);
      const rope = loopOf(text).classes[0]!.body.ops.find((op) => op.kind === "rope");
      return rope?.frequencies;
    };
    expect(frequencies("plain_frequency(i, head_dim, 10000.0)", "use std.rope")).toEqual([1, 0.1, 0.01, 0.001]);
    expect(frequencies("linear_frequency(i, head_dim, 10000.0, 4.0)", "use std.rope")).toEqual(
      [1, 0.1, 0.01, 0.001].map((frequency) => frequency / 4),
    );
    // Wavelengths 6.3, 63, 628, 6283 in an original context of 128 with factors 1 and 4: kept, blended, stretched, stretched.
    const llama3 = frequencies("llama3_frequency(i, head_dim, 10000.0, 8.0, 1.0, 4.0, 128)", "use std.rope")!;
    const blend = ((128 * 0.1) / (2 * Math.PI) - 1) / 3;
    expect(llama3[0]).toBe(1);
    expect(llama3[1]).toBeCloseTo(((1 - blend) * 0.1) / 8 + blend * 0.1, 12);
    expect(llama3[2]).toBeCloseTo(0.01 / 8, 12);
    expect(llama3[3]).toBeCloseTo(0.001 / 8, 12);
  });

  it("takes parameters from outside", () => {
    const graph = graphOf(modelText({}), { set: { K: "5", layers: 2 } });
    expect(graph.copies).toBe(5);
    expect(graph.predictCopy).toBe(5);
    expect(graph.parameters).toMatchObject({ K: 5, layers: 2, dim: 16 });
  });
});
