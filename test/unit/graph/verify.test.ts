/** Graphs that are not valid, and what the verifier says about them. */
import { describe, expect, it } from "vitest";
import type { Graph, Op } from "../../../src/ir/graph/ops.js";
import { parseGraph } from "../../../src/ir/graph/parse.js";
import { type Guarantee, graphProblems, verifyGraph } from "../../../src/ir/graph/verify.js";

/** A graph around the lines of a layer body that takes %x and gives %y. */
function withLayer(...lines: string[]): Graph {
  return parseGraph(`graph "g" {
    copies 2 predict 2
    attend 0 = k.pos <= q.pos
    %ids = input : int[positions]
    %wte = weight {tensor = "wte"} : float[5, 8]
    %e = embed %ids, %wte : float[positions, 8]
    %t = repeat-tokens %e {copies = 2} : float[tokens, 8]
    %z = layers 2 (%t) {
      class "every layer" [0, 1] (%x : float[tokens, 8]) {
        ${lines.join("\n        ")}
        yield %y
      }
    } : float[tokens, 8]
    %last = select-copy %z {copy = 2} : float[positions, 8]
    %logits = linear %last, %wte : float[positions, 5]
    yield %logits
  }`);
}

const silu = "%y = unary %x {function = silu} : float[tokens, 8]";
const valid = () => withLayer(silu);

/** The graph with one operation of its own block changed. */
function change(graph: Graph, kind: Op["kind"], fields: object): Graph {
  const ops = graph.body.ops.map((op) => (op.kind === kind ? ({ ...op, ...fields } as Op) : op));
  return { ...graph, body: { ...graph.body, ops } };
}

describe("the verifier", () => {
  it("finds nothing wrong with a valid graph", () => {
    expect(graphProblems(valid(), ["repeat-tokens"])).toEqual([]);
  });

  it("throws all problems at once, with the pass that made them", () => {
    const graph = change(valid(), "select-copy", { input: 77 });
    expect(() => verifyGraph(graph, [], "a-pass")).toThrow(
      "graph g is not valid after a-pass:\n  %last = select-copy reads 77, which is not defined here",
    );
  });

  it("wants values to be defined once, under a name of their own", () => {
    const graph = valid();
    const twice = { ...graph, body: { ...graph.body, ops: [...graph.body.ops, graph.body.ops[1]!] } };
    expect(graphProblems(twice)).toEqual(["%wte: id 1 is defined twice", "%wte is the name of two values"]);
  });

  it("wants values to be defined before they are used", () => {
    const graph = valid();
    const backwards = { ...graph, body: { ...graph.body, ops: graph.body.ops.toReversed() } };
    expect(graphProblems(backwards)[0]).toBe("%logits = linear reads 7, 1, which is not defined here");
  });

  it("does not let values of a layer out", () => {
    const graph = valid();
    const loop = graph.body.ops.find((op) => op.kind === "layers")!;
    const inside = loop.kind === "layers" ? loop.classes[0]!.body.yields[0]! : 0;
    expect(graphProblems(change(graph, "select-copy", { input: inside }))).toEqual([
      `%last = select-copy reads ${inside}, which is not defined here`,
    ]);
  });

  it("wants the types that operands give", () => {
    const graph = withLayer(silu.replace("tokens, 8", "tokens, 9"));
    expect(graphProblems(graph)[0]).toBe("%y is float[tokens, 9], but unary gives float[tokens, 8]");
  });

  it.each([
    ["%y = linear %x, %wte : float[tokens, 5]", "carries values"],
    [
      '%w = weight {tensor = "w"} : float[8, 7] %y = linear %x, %w : float[tokens, 8]',
      "input is float[tokens, 8], weight takes 7",
    ],
    ["%y = split-heads %x {heads = 3} : float[tokens, 3, 2]", "8 columns do not split into 3 heads"],
    [
      "%h = split-heads %x {heads = 2} : float[tokens, 2, 4] %y = binary %x, %h {function = add} : float[tokens, 8]",
      "operands are float[tokens, 8] and float[tokens, 2, 4]",
    ],
    [
      '%w = weight {tensor = "w"} : float[7] %y = rms-norm %x {weight = %w, epsilon = 0.1} : float[tokens, 8]',
      "weight is float[7], expected float[8]",
    ],
    ["%y = embed %x, %wte : float[positions, 8]", "ids are float[tokens, 8], expected int[positions]"],
    ["%y = select-copy %e {copy = 2} : float[positions, 8]", "input is float[positions, 8], expected rows over tokens"],
  ])("refuses operands that do not fit: %s", (line, problem) => {
    const problems = graphProblems(withLayer(line));
    // A result of another type than the layer carries is found one check later.
    expect(problems.join("\n")).toContain(problem === "carries values" ? "is float[tokens, 5] inside" : problem);
  });

  it("wants heads that group", () => {
    const heads = (count: number) =>
      `%h${count} = split-heads %x {heads = ${count}} : float[tokens, ${count}, ${8 / count}]`;
    const graph = withLayer(
      heads(2),
      heads(4),
      "%a = attention %h2, %h4, %h4 {attend = 0, scale = 1} : float[tokens, 2, 4]",
      "%y = merge-heads %a : float[tokens, 8]",
    );
    expect(graphProblems(graph)).toEqual(["%a = attention: attention: 2 heads on 4"]);
  });

  it("lets a layer attend once, through an attend that exists", () => {
    const graph = withLayer(
      "%h = split-heads %x {heads = 2} : float[tokens, 2, 4]",
      "%a = attention %h, %h, %h {attend = 0, scale = 1} : float[tokens, 2, 4]",
      "%b = attention %a, %a, %a {attend = 3, scale = 1} : float[tokens, 2, 4]",
      "%y = merge-heads %b : float[tokens, 8]",
    );
    expect(graphProblems(graph)).toEqual([
      "every layer: a layer attends once",
      "%b = attention names attend 3, which does not exist",
    ]);
  });

  it("wants every layer to have a class, and what it carries to keep its type", () => {
    expect(graphProblems(change(valid(), "layers", { classOf: [0, 4] }))).toEqual(["layer class 4 does not exist"]);
    expect(graphProblems(change(valid(), "layers", { count: 3 }))).toEqual(["3 layers, 2 classes named"]);
  });

  const broken: [Guarantee, string, Graph, string][] = [
    [
      "repeat-tokens",
      "the copy that predicts is selected",
      change(valid(), "select-copy", { copy: 1 }),
      "%last = select-copy keeps copy 1, but copy 2 predicts",
    ],
    [
      "repeat-tokens",
      "an embedding is repeated as often as the graph says",
      { ...valid(), copies: 3 },
      "%t = repeat-tokens makes 2 copies of 3",
    ],
    ["group-tokens", "the groups hold all copies", valid(), "the groups do not hold the copies 1 to 2"],
    [
      "group-tokens",
      "every attend has a part for each group",
      { ...valid(), groups: [{ name: "all", firstCopy: 1, lastCopy: 2 }] },
      "attend 0 has parts for nothing",
    ],
    ["derive-phases", "every operation says its rows", valid(), "%e = embed does not say which rows need it"],
    ["fuse", "high-level operations are gone", valid(), "%t = repeat-tokens is left after fuse"],
  ];
  it.each(broken)("checks what %s promises: %s", (guarantee, _, graph, problem) => {
    expect(graphProblems(graph, [guarantee])).toContain(problem);
  });

  it("does not let an operation compute rows that an operand lacks", () => {
    const graph = withLayer(
      "%q = unary %x {function = silu} : float[tokens, 8] on query",
      "%y = unary %q {function = silu} : float[tokens, 8] on input",
    );
    expect(graphProblems(graph, ["derive-phases"])).toContain(
      "%y = unary is needed in input rows, but an operand exists in query rows only",
    );
  });

  it("wants keys to be stored before they are read", () => {
    const attention =
      "%y = cached-attention %x {heads = 2, kvHeads = 1, width = 4, attend = 0, scale = 1} : float[tokens, 8]";
    expect(graphProblems(withLayer(attention), ["fuse"])).toContain(
      "%y = cached-attention reads keys that no store-keys before it has written",
    );
  });

  it("does not expect fused operations before fuse", () => {
    expect(graphProblems(withLayer("%y = map {expression = silu(%x)} : float[tokens, 8]"))).toEqual([
      "%y = map comes before fuse",
    ]);
  });
});
