/** Building and rewriting graphs. */
import { describe, expect, it } from "vitest";
import { GraphBuilder } from "../../../src/ir/graph/builder.js";
import type { Graph } from "../../../src/ir/graph/ops.js";
import { printGraph } from "../../../src/ir/graph/print.js";
import { replacedBy, rewriteGraph, rewriteOps } from "../../../src/ir/graph/rewrite.js";
import { verifyGraph } from "../../../src/ir/graph/verify.js";
import { countReaders, eachOp, eachOperand } from "../../../src/ir/graph/walk.js";

const file = { name: "model.phd", text: "a model" };
const origin = { file, start: 0, end: 1 };

function smallGraph(): Graph {
  const graph = new GraphBuilder();
  const { top } = graph;
  const ids = top.input();
  const table = top.weight("model.embed_tokens.weight", [5, 4]);
  const x = top.add({ kind: "embed", ids, table }, "x");
  const [y] = top.layers({
    count: 3,
    inputs: [x],
    names: ["x"],
    classes: [
      {
        name: "every layer",
        build: (body, [h]) => [body.add({ kind: "unary", function: "silu", input: h!, origin }, "active")],
      },
    ],
  });
  const logits = top.add({ kind: "linear", input: y!, weight: table }, "logits");
  return graph.finish([logits], { name: "small", parameters: {}, copies: 1, predictCopy: 1, attends: [] });
}

describe("the builder", () => {
  it("computes types and keeps names apart", () => {
    expect(printGraph(smallGraph())).toMatchInlineSnapshot(`
      "graph "small" {
        copies 1 predict 1
        %ids = input : int[positions]
        %embed_tokens = weight {tensor = "model.embed_tokens.weight"} : float[5, 4]
        %x = embed %ids, %embed_tokens : float[positions, 4]
        %x_2 = layers 3 (%x) {
          class "every layer" [0, 1, 2] (%x_1 : float[positions, 4]) {
            %active = unary %x_1 {function = silu} : float[positions, 4]
            yield %active
          }
        } : float[positions, 4]
        %logits = linear %x_2, %embed_tokens : float[positions, 5]
        yield %logits
      }
      "
    `);
  });

  it("refuses operands that do not fit", () => {
    const { top } = new GraphBuilder();
    const input = top.add({ kind: "embed", ids: top.input(), table: top.weight("t", [5, 4]) });
    expect(() => top.add({ kind: "linear", input, weight: top.weight("w", [4, 3]) })).toThrow(
      "linear: input is float[positions, 4], weight takes 3",
    );
    expect(() => top.add({ kind: "unary", function: "silu", input: 99 })).toThrow("value 99 is not defined");
  });

  it("makes names of any text", () => {
    const { top } = new GraphBuilder();
    top.weight("a.b.weight", [1], "3 heads?");
    top.weight("a.b.bias", [1]);
    top.weight("a.b.weight", [1], "");
    expect(top.ops.map((op) => op.results[0]!.name)).toEqual(["v3_heads_", "b_bias", "v"]);
  });
});

describe("rewriting", () => {
  it("gives back the same graph when a rule keeps every operation", () => {
    const graph = smallGraph();
    expect(rewriteGraph(graph, (op) => op)).toEqual(graph);
  });

  it("adds operations in place, with the origin of what they replace", () => {
    const twice = rewriteOps(smallGraph(), "unary", (op, build) => {
      const once = build.add({ kind: "unary", function: "tanh", input: op.input }, "active");
      return { ...op, input: once };
    });
    verifyGraph(twice);
    const unaries = [...eachOp(twice)].filter((op) => op.kind === "unary");
    expect(unaries.map((op) => [op.results[0]!.name, op.function, op.origin])).toEqual([
      ["active_1", "tanh", origin],
      ["active", "silu", origin],
    ]);
  });

  it("renames the uses of what is replaced, in layers and behind them", () => {
    const without = rewriteOps(smallGraph(), "unary", (op) => replacedBy(op.input));
    verifyGraph(without);
    const loop = without.body.ops.find((op) => op.kind === "layers")!;
    expect(loop.kind === "layers" && loop.classes[0]!.body.yields).toEqual(
      loop.kind === "layers" && loop.classes[0]!.body.args.map(({ id }) => id),
    );
  });

  it("computes types anew behind a change", () => {
    const repeated = rewriteOps(smallGraph(), "embed", (op, build) => {
      const [input] = build.append(op, op.results);
      return replacedBy(build.add({ kind: "repeat-tokens", input: input!, copies: 2 }));
    });
    verifyGraph(repeated);
    expect(repeated.body.ops.at(-1)!.results[0]!.type.shape).toEqual(["tokens", 5]);
  });
});

describe("the walker", () => {
  it("counts readers, not places", () => {
    const graph = new GraphBuilder();
    const { top } = graph;
    const x = top.add({ kind: "embed", ids: top.input(), table: top.weight("t", [5, 4]) });
    const square = top.add({ kind: "binary", function: "multiply", left: x, right: x });
    const built = graph.finish([square], { name: "g", parameters: {}, copies: 1, predictCopy: 1, attends: [] });
    expect([...eachOperand(built.body.ops.at(-1)!)]).toEqual([x, x]);
    expect(countReaders(built).get(x)).toBe(1);
  });
});
