/**
 * Buffers may share memory only if no value is overwritten before it is read.
 *
 * Replays a graph's steps and remembers which value each slot holds; every read must find its value there. An operation may write over
 * one of its operands only where each invocation reads just the element that it writes.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Block, FusedLinear, Graph, NormOp, Op, ValueId } from "../../../src/ir/graph/ops.js";
import { parseGraph } from "../../../src/ir/graph/parse.js";
import { hasRows } from "../../../src/ir/graph/types.js";
import { eachOperand, elementOperands } from "../../../src/ir/graph/walk.js";
import { fuse } from "../../../src/passes/fuse/fuse.js";
import { runPasses } from "../../../src/passes/pass.js";
import { simplify } from "../../../src/passes/simplify/simplify.js";
import { annotateRows } from "../../../src/passes/tokens/annotate-rows.js";
import { repeatTokens } from "../../../src/passes/tokens/repeat-tokens.js";
import { DeferredNorms } from "../../../src/schedule/deferred-norms.js";
import { placeWithDeferred } from "../../../src/schedule/place-deferred.js";
import { type Copy, type Places, placeValues } from "../../../src/schedule/place-values.js";
import { predicateOf } from "../../support/predicates.js";
import { randomGraphs } from "../../support/random-graph.js";
import { buildTransformer } from "../../support/transformer.js";

const room = { maxStorageBuffers: 8, scales: false };
const passes = [repeatTokens, ...simplify, annotateRows, ...fuse];

describe("the memory of activations", () => {
  it("never overwrites what is still read, in any graph", () => {
    fc.assert(
      fc.property(randomGraphs, (graph) => replay(runPasses(passes, graph))),
      { numRuns: 150, endOnFailure: true },
    );
  });

  it("never overwrites what a product computes a norm from that was left to it, in any graph", () => {
    fc.assert(
      fc.property(randomGraphs, (graph) => {
        const fused = runPasses(passes, graph);
        const { deferred, places } = placeWithDeferred(fused, room);
        replay(fused, places);
        replay(fused, places, deferred);
      }),
      { numRuns: 150, endOnFailure: true },
    );
  });

  it("lets a layer leave its last norm to the next one", () => {
    const graph = runPasses(
      passes,
      buildTransformer({
        ...{ vocab: 9, layers: 3, dim: 8, heads: 2, kvHeads: 1, headDim: 4, ffn: 12, copies: 2, postNorm: true },
        predicate: predicateOf({ variant: "phd", copies: 2 }),
      }),
    );
    const { deferred, places } = placeWithDeferred(graph, room);
    expect(deferred.all.map(({ across }) => across)).toEqual([false, true]);
    replay(graph, places);
    replay(graph, places, deferred);
    expect(placeWithDeferred(graph, { ...room, maxStorageBuffers: 5 }).deferred.all).toEqual([]);
    expect(() => replay(graph, placeValues(graph), deferred)).toThrow(/value|same/);
  });

  it("leaves alone what every layer reads from outside, although it also enters the first", () => {
    const graph = parseGraph(`graph "skip" {
      copies 1 predict 1
      %ids = input : int[positions]
      %wte = weight {tensor = "wte"} : float[5, 8]
      %x = embed %ids, %wte {copies = 1} : float[tokens, 8] on input
      %y = layers 2 (%x) {
        class "every layer" [0, 1] (%h : float[tokens, 8]) {
          %h1 = map {expression = %h * %x} : float[tokens, 8] on query
          yield %h1
        }
      } : float[tokens, 8] on input
      %last = select-copy %y {copy = 1} : float[positions, 8] on output
      %logits = fused-linear %last {weights = [%wte], biases = [none], combine = concatenate, epilogue = $0} : float[positions, 5] on output
      yield %logits
    }`);
    replay(graph);
    expect(placeValues(graph).before).toHaveLength(1);
  });

  it("keeps the residual stream in one buffer from the first layer to the last", () => {
    const graph = runPasses(
      passes,
      buildTransformer({
        ...{ vocab: 9, layers: 3, dim: 8, heads: 2, kvHeads: 1, headDim: 4, ffn: 12, copies: 2 },
        predicate: predicateOf({ variant: "phd", copies: 2 }),
      }),
    );
    const places = placeValues(graph);
    const loop = graph.body.ops.find((op) => op.kind === "layers")!;
    const { body } = loop.kind === "layers" ? loop.classes[0]! : expect.fail("no layers");
    const stream = [...body.args.map(({ id }) => id), ...body.yields, ...loop.results.map(({ id }) => id)];
    expect(new Set(stream.map((value) => places.bufferOf(value))).size).toBe(1);
    expect([places.before, places.afterLayer]).toEqual([[], [[]]]);
  });
});

/** With `deferred`, as decode runs: norms that were left undone happen where their products are. */
function replay(graph: Graph, places: Places = placeValues(graph), deferred = new DeferredNorms([])): void {
  const slots = new Map(places.buffers.map(({ name, slot }) => [name, slot]));
  const slotOf = (buffer: string) => slots.get(buffer)!;
  /** What each slot holds, and under which buffer it was written. */
  const held = new Map<string, { readonly buffer: string; readonly value: ValueId }>();
  const rows = new Set<ValueId>();

  const read = (value: ValueId, by: string) => {
    const buffer = places.bufferOf(value);
    const content = held.get(slotOf(buffer));
    if (content?.value !== value || content.buffer !== buffer) {
      expect.fail(`${by} reads value ${value} from ${buffer}, which holds ${JSON.stringify(content)}`);
    }
  };
  const write = (value: ValueId, buffer = places.bufferOf(value)) => held.set(slotOf(buffer), { buffer, value });
  /** The value goes by another name from here on, in the same memory. */
  const rename = (from: ValueId, to: ValueId) => {
    read(from, "a layer's edge");
    expect(places.bufferOf(to)).toBe(places.bufferOf(from));
    write(to);
  };
  const move = ({ from, to }: Copy) => {
    const content = held.get(slotOf(from));
    expect(content?.buffer).toBe(from);
    expect(slotOf(from)).not.toBe(slotOf(to));
    write(content!.value, to);
  };

  /** Norms that are not done yet, by the value they make. */
  const undone = new Map<ValueId, NormOp>();
  const rowOperands = (op: Op) => [...eachOperand(op)].filter((value) => rows.has(value));

  /** The norm that a product does, whose result goes by the name of the product's input; every workgroup reads what it is made from. */
  const doNorm = (product: FusedLinear, norm: NormOp) => {
    for (const operand of rowOperands(norm)) {
      read(operand, "a norm that was left undone");
      for (const written of [product.input, product.results[0]!.id]) {
        const [from, to] = [operand, written].map((value) => slotOf(places.bufferOf(value)));
        if (from === to) expect.fail(`value ${written} overwrites value ${operand}, which the same product reads`);
      }
    }
    expect(places.bufferOf(product.input)).toBe(places.bufferOf(norm.results[0]!.id));
    write(product.input);
    undone.delete(norm.results[0]!.id);
  };

  const run = (op: Op) => {
    const [result] = op.results;
    if (!hasRows(result!.type) || op.kind === "input") return;
    rows.add(result!.id);
    if (op.kind === "norm" && deferred.ofNorm(op) !== undefined) {
      undone.set(result!.id, op);
      return;
    }
    const left = deferred.ofProduct(op);
    if (op.kind === "fused-linear" && left !== undefined && undone.has(left.norm.results[0]!.id)) doNorm(op, left.norm);
    const operands = rowOperands(op);
    for (const operand of operands) read(operand, op.kind);
    if (op.kind === "select-copy") return rename(op.input, result!.id);
    const elementwise = elementwiseOperands(op);
    for (const operand of operands) {
      const shared = slotOf(places.bufferOf(operand)) === slotOf(places.bufferOf(result!.id));
      const safe = elementwise.has(operand) && places.bufferOf(operand) === places.bufferOf(result!.id);
      if (shared && !safe) expect.fail(`${op.kind} overwrites value ${operand}, which other invocations still read`);
    }
    write(result!.id);
  };
  const runBlock = (block: Block) => block.ops.forEach(run);

  for (const op of graph.body.ops) {
    if (op.kind !== "layers") {
      run(op);
      continue;
    }
    places.before.forEach(move);
    let carried: readonly ValueId[] = op.inputs;
    // Twice round, so that every class follows every other.
    for (const index of [...op.classOf, ...op.classOf.toReversed()]) {
      const { body } = op.classes[index]!;
      for (const [at, { id }] of body.args.entries()) {
        rows.add(id);
        // A move has brought the value to the carried buffer under its own number.
        const buffer = places.bufferOf(id);
        if (!undone.has(carried[at]!)) expect(held.get(slotOf(buffer))).toEqual({ buffer, value: carried[at] });
      }
      for (const [at, { id }] of body.args.entries()) if (!undone.has(carried[at]!)) write(id);
      runBlock(body);
      places.afterLayer[index]!.forEach(move);
      carried = body.yields;
    }
    for (const [value, norm] of undone) {
      for (const operand of rowOperands(norm)) read(operand, "the norm that the last layer left undone");
      write(value);
    }
    undone.clear();
    for (const [at, { id }] of op.results.entries()) {
      rows.add(id);
      const buffer = places.bufferOf(id);
      expect(held.get(slotOf(buffer))).toEqual({ buffer, value: carried[at] });
    }
    for (const { id } of op.results) write(id);
  }
}

/** Operands that each invocation reads only where it writes. */
function elementwiseOperands(op: Op): ReadonlySet<ValueId> {
  if (op.kind === "map") return new Set(elementOperands(op.expression));
  if (op.kind !== "fused-linear" && op.kind !== "norm") return new Set();
  return new Set(elementOperands(op.epilogue).filter((value) => value !== op.input));
}
