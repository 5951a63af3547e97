/** Graph text reads back to the same graph. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GraphBuilder } from "../../../src/ir/graph/builder.js";
import type { Block, Graph, Op, Value, ValueId } from "../../../src/ir/graph/ops.js";
import { parseGraph } from "../../../src/ir/graph/parse.js";
import { printGraph } from "../../../src/ir/graph/print.js";
import { parseElements, printElements } from "../../../src/ir/graph/text/element-text.js";
import { parseExprText, printExprText } from "../../../src/ir/graph/text/expr-text.js";
import { parsePredicateText, printPredicateText } from "../../../src/ir/graph/text/predicate-text.js";
import { GraphTextError, TextReader } from "../../../src/ir/graph/text/reader.js";
import { graphProblems } from "../../../src/ir/graph/verify.js";
import { mapOperands } from "../../../src/ir/graph/walk.js";
import { fuse } from "../../../src/passes/fuse/fuse.js";
import { runPasses } from "../../../src/passes/pass.js";
import { simplify } from "../../../src/passes/simplify/simplify.js";
import { annotateRows } from "../../../src/passes/tokens/annotate-rows.js";
import { buildMasks } from "../../../src/passes/tokens/build-masks.js";
import { repeatTokens } from "../../../src/passes/tokens/repeat-tokens.js";
import { elementExprs, exprs, predicates } from "../../support/arbitraries.js";
import { predicateOf } from "../../support/predicates.js";
import { randomGraphs } from "../../support/random-graph.js";
import { buildTransformer } from "../../support/transformer.js";

describe("the small languages inside graph text", () => {
  it("integer expressions read back to the same tree", () => {
    fc.assert(
      fc.property(exprs, (expr) => {
        expect(parseExprText(new TextReader(printExprText(expr)))).toEqual(expr);
      }),
      { numRuns: 1000 },
    );
  });

  it("predicates read back to the same tree", () => {
    fc.assert(
      fc.property(predicates, (predicate) => {
        expect(parsePredicateText(new TextReader(printPredicateText(predicate)))).toEqual(predicate);
      }),
      { numRuns: 1000 },
    );
  });

  it("elementwise expressions read back to the same tree", () => {
    fc.assert(
      fc.property(elementExprs([3, 4]), (element) => {
        const text = printElements(element, (value) => `%v${value}`);
        expect(parseElements(new TextReader(text), (name) => Number(name.slice(2)))).toEqual(element);
      }),
      { numRuns: 1000 },
    );
  });

  it("prints predicates in the words of the language", () => {
    expect(
      printPredicateText(predicateOf({ variant: "phd-cswa", copies: 2, window: 16, chunk: 32 })),
    ).toMatchInlineSnapshot(
      `"k.copy == 1 and k.pos < q.pos or k.pos == q.pos and k.copy <= q.copy or k.copy > 1 and q.copy > 1 and k.pos < q.pos and 1 * q.pos + (q.copy - 2) - (1 * k.pos + (k.copy - 2)) <= 16 and q.pos div 32 == k.pos div 32"`,
    );
  });
});

describe("graph text", () => {
  it("random graphs read back to the same graph before and after the passes", () => {
    fc.assert(
      fc.property(randomGraphs, (graph) => {
        expectSameAfterParsing(graph);
        const annotated = runPasses([repeatTokens, buildMasks, ...simplify, annotateRows], graph);
        expectSameAfterParsing(annotated);
        expectSameAfterParsing(runPasses(fuse, annotated, undefined, ["repeat-tokens", "derive-phases"]));
      }),
      { numRuns: 60 },
    );
  });

  it("carries key groups and the parts of an attend", () => {
    const graph: Graph = {
      ...smallModel(),
      groups: [
        { name: "originals", firstCopy: 1, lastCopy: 1 },
        { name: "first", firstCopy: 2, lastCopy: 2, endPos: 4 },
        { name: "hidden", firstCopy: 2, lastCopy: 2, firstPos: 4 },
      ],
      attends: [
        {
          predicate: predicateOf({ variant: "phd", copies: 2 }),
          stated: predicateOf({ variant: "phd-swa", copies: 2, window: 0 }),
          parts: [
            { group: "originals", density: "dense", lo: 0, hi: { op: "add", args: ["q_pos", 1] } },
            { group: "first", density: "dense", lo: 0, hi: 4 },
            { group: "hidden", density: "ranged", lo: { op: "sub", args: ["q_pos", 1] }, hi: "q_pos" },
          ],
        },
      ],
    };
    expectSameAfterParsing(graph);
  });

  it("damaged text gives a graph or a report, never anything else", () => {
    const text = printGraph(runPasses([repeatTokens, buildMasks, ...simplify, annotateRows, ...fuse], smallModel()));
    fc.assert(
      fc.property(
        fc.nat({ max: text.length - 1 }),
        fc.nat({ max: 12 }),
        fc.string({ maxLength: 5 }),
        (at, gone, added) => {
          try {
            graphProblems(parseGraph(text.slice(0, at) + added + text.slice(at + gone)));
          } catch (error) {
            expect(error).toBeInstanceOf(GraphTextError);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it("prints where operations come from on demand", () => {
    const file = { name: "phd-2.phd", text: "model Phd2 { … }" };
    const graph = new GraphBuilder();
    const origin = { file, start: 6, end: 10 };
    const ids = graph.top.input("ids", origin);
    const table = graph.top.weight("embed", [3, 4]);
    const x = graph.top.add({ kind: "embed", ids, table, origin }, "x");
    const built = graph.finish([x], { name: "g", parameters: {}, copies: 1, predictCopy: 1, attends: [], origin });
    const text = printGraph(built, { spans: true });
    expect(text).toContain('%x = embed %ids, %embed : float[positions, 4] loc("phd-2.phd", 6, 10)');
    expect(parseGraph(text, [file])).toEqual(built);
    expect(printGraph(built)).not.toContain("loc(");
  });

  it("reads like a program", () => {
    expect(printGraph(smallModel())).toMatchInlineSnapshot(`
      "graph "transformer" {
        parameters {"vocab" = 11, "layers" = 2, "dim" = 8, "K" = 2}
        copies 2 predict 2
        attend 0 = k.copy == 1 and k.pos < q.pos or k.pos == q.pos and k.copy <= q.copy
        frequencies @frequencies_0 = [1, 0.01]
        %ids = input : int[positions]
        %embed_tokens = weight {tensor = "model.embed_tokens.weight"} : float[11, 8]
        %x = embed %ids, %embed_tokens : float[positions, 8]
        %x_1 = repeat-tokens %x {copies = 2} : float[tokens, 8]
        %x_5 = layers 2 (%x_1) {
          class "every layer" [0, 1] (%x_2 : float[tokens, 8]) {
            %input_layernorm = weight {tensor = "model.layers.{l}.input_layernorm.weight"} : float[8]
            %normed = rms-norm %x_2 {weight = %input_layernorm, epsilon = 0.00001} : float[tokens, 8]
            %q_proj = weight {tensor = "model.layers.{l}.self_attn.q_proj.weight"} : float[8, 8]
            %q_proj_1 = linear %normed, %q_proj : float[tokens, 8]
            %q = split-heads %q_proj_1 {heads = 2} : float[tokens, 2, 4]
            %q_rope = rope %q {frequencies = @frequencies_0, index = {byPos = pos, byCopy = 0}, amplitude = 1} : float[tokens, 2, 4]
            %k_proj = weight {tensor = "model.layers.{l}.self_attn.k_proj.weight"} : float[4, 8]
            %k_proj_1 = linear %normed, %k_proj : float[tokens, 4]
            %k = split-heads %k_proj_1 {heads = 1} : float[tokens, 1, 4]
            %k_rope = rope %k {frequencies = @frequencies_0, index = {byPos = pos, byCopy = 0}, amplitude = 1} : float[tokens, 1, 4]
            %v_proj = weight {tensor = "model.layers.{l}.self_attn.v_proj.weight"} : float[4, 8]
            %v_proj_1 = linear %normed, %v_proj : float[tokens, 4]
            %v = split-heads %v_proj_1 {heads = 1} : float[tokens, 1, 4]
            %attention = attention %q_rope, %k_rope, %v {attend = 0, scale = 0.5} : float[tokens, 2, 4]
            %merge_heads = merge-heads %attention : float[tokens, 8]
            %o_proj = weight {tensor = "model.layers.{l}.self_attn.o_proj.weight"} : float[8, 8]
            %o_proj_1 = linear %merge_heads, %o_proj : float[tokens, 8]
            %x_3 = binary %x_2, %o_proj_1 {function = add} : float[tokens, 8]
            %post_attention_layernorm = weight {tensor = "model.layers.{l}.post_attention_layernorm.weight"} : float[8]
            %normed_1 = rms-norm %x_3 {weight = %post_attention_layernorm, epsilon = 0.00001} : float[tokens, 8]
            %gate_proj = weight {tensor = "model.layers.{l}.mlp.gate_proj.weight"} : float[12, 8]
            %gate_proj_1 = linear %normed_1, %gate_proj : float[tokens, 12]
            %gate = unary %gate_proj_1 {function = silu} : float[tokens, 12]
            %up_proj = weight {tensor = "model.layers.{l}.mlp.up_proj.weight"} : float[12, 8]
            %up_proj_1 = linear %normed_1, %up_proj : float[tokens, 12]
            %act = binary %gate, %up_proj_1 {function = multiply} : float[tokens, 12]
            %down_proj = weight {tensor = "model.layers.{l}.mlp.down_proj.weight"} : float[8, 12]
            %down_proj_1 = linear %act, %down_proj : float[tokens, 8]
            %x_4 = binary %x_3, %down_proj_1 {function = add} : float[tokens, 8]
            yield %x_4
          }
        } : float[tokens, 8]
        %norm = weight {tensor = "model.norm.weight"} : float[8]
        %normed_2 = rms-norm %x_5 {weight = %norm, epsilon = 0.00001} : float[tokens, 8]
        %predicted = select-copy %normed_2 {copy = 2} : float[positions, 8]
        %lm_head = weight {tensor = "lm_head.weight"} : float[11, 8]
        %logits = linear %predicted, %lm_head : float[positions, 11]
        yield %logits
      }
      "
    `);
  });

  it.each([
    ['graph "g" { copies 1 predict 1 %x = embed %ids', "%ids is not defined above"],
    ['graph "g" {\n  copies 1 predict 1\n  %x = frobnicate', "line 3, column 18: frobnicate is no operation"],
    ['graph "g" {\n  copies 1 predict ?', "line 2, column 20: a character that starts nothing"],
    ['graph "g" { copies 1 predict 1 %x = input : int[positions] yield %x', "expected `}` (found the end)"],
    ['graph "g" { copies 1 predict 1 %x = scale %x {colour = 1}', "%x is not defined above"],
    [
      'graph "g" { copies 1 predict 1 %x = input : int[positions] %x = input : int[positions] yield %x }',
      "%x is defined twice",
    ],
    ['graph "g" { copies 1 predict 1 attend 0 = k.time < 1', "k.time is no coordinate"],
    ['graph "g" { copies 1 predict 1 attend 0 = k.pos * q.pos < 1', "expected a constant on one side"],
    ['graph "g" { copies 1 predict 1 %x = constructor', "constructor is no operation"],
    ['graph "g" { copies 1 predict 1 %x = input : text[positions]', "expected one of float, int"],
    ['graph "\\x" { copies 1', "a string with escapes that JSON does not know"],
    ['graph "g" { copies 1 predict 1 attend 0 = true part "a" dense frob(1) .. 2', "no function frob of 1 arguments"],
  ])("says where text is not a graph: %s", (text, problem) => {
    expect(() => parseGraph(text)).toThrow(problem);
  });
});

/** The same up to the numbers of values, which text does not hold. */
function expectSameAfterParsing(graph: Graph): void {
  const text = printGraph(graph);
  const parsed = parseGraph(text);
  expect(printGraph(parsed)).toBe(text);
  expect(parsed).toEqual(renumbered(graph));
}

/** Values numbered in the order of their definitions. */
function renumbered(graph: Graph): Graph {
  const ids = new Map<ValueId, ValueId>();
  const define = (value: Value): Value => {
    ids.set(value.id, ids.size);
    return { ...value, id: ids.get(value.id)! };
  };
  const renumberBlock = (block: Block): Block => {
    const args = block.args.map(define);
    const ops = block.ops.map((op): Op => {
      const renamed = mapOperands(op, (value) => ids.get(value)!);
      const inner =
        renamed.kind === "layers"
          ? { ...renamed, classes: renamed.classes.map(({ name, body }) => ({ name, body: renumberBlock(body) })) }
          : renamed;
      return { ...inner, results: op.results.map(define) };
    });
    return { args, ops, yields: block.yields.map((value) => ids.get(value)!) };
  };
  return { ...graph, body: renumberBlock(graph.body) };
}

function smallModel(): Graph {
  return buildTransformer({
    vocab: 11,
    layers: 2,
    dim: 8,
    heads: 2,
    kvHeads: 1,
    headDim: 4,
    ffn: 12,
    copies: 2,
    predicate: predicateOf({ variant: "phd", copies: 2 }),
  });
}
