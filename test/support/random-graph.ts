/**
 * Random valid graphs, far from any architecture: several carried values, layers without attention, queries that are not rotated, keys
 * that are not normed, activations anywhere, parallel branches, skips around everything.
 *
 * All choices come from a tape of numbers, so fast-check shrinks a failing graph by shrinking its tape.
 */
import fc from "fast-check";
import { type BlockBuilder, GraphBuilder } from "../../src/ir/graph/builder.js";
import type { BinaryFunction, Graph, UnaryFunction, ValueId } from "../../src/ir/graph/ops.js";
import { rowWidth } from "../../src/ir/graph/types.js";
import { predicateOf } from "./predicates.js";
import { plainFrequencies } from "./transformer.js";

export const randomGraphs: fc.Arbitrary<Graph> = fc
  .array(fc.nat({ max: 1 << 16 }), { minLength: 100, maxLength: 140 })
  .map((tape) => new RandomGraph(tape).build());

export const vocab = 7;
const headWidth = 4;
const unaries: readonly UnaryFunction[] = ["silu", "gelu-tanh", "relu", "sigmoid", "tanh", "negate"];
const binaries: readonly BinaryFunction[] = ["add", "subtract", "multiply"];
const variants = ["naive", "phd", "phd-swa", "phd-cswa"] as const;

class RandomGraph {
  private readonly graph = new GraphBuilder();
  private at = 0;
  private tensors = 0;

  constructor(private readonly tape: readonly number[]) {}

  /** 0 … count - 1; 0 once the tape has ended, so that graphs end too. */
  private pick(count: number): number {
    return (this.tape[this.at++] ?? 0) % count;
  }

  private oneOf<T>(list: readonly T[]): T {
    return list[this.pick(list.length)]!;
  }

  build(): Graph {
    const { top } = this.graph;
    const copies = 1 + this.pick(3);
    const layers = 1 + this.pick(3);
    const dim = headWidth * (1 + this.pick(2));
    const attends = Array.from({ length: 1 + this.pick(2) }, () => ({
      predicate: predicateOf({
        variant: copies === 1 ? "vanilla" : this.oneOf(variants),
        copies,
        window: this.pick(4),
        chunk: 1 + this.pick(4),
      }),
    }));

    const ids = top.input();
    const embedded = top.add({ kind: "embed", ids, table: this.weight(top, [vocab, dim]) }, "embedded");
    const before = this.rowwise(top, [embedded], this.pick(2));
    // A model with one copy need not say so.
    const silent = copies === 1 && this.pick(2) === 1;
    const x = silent ? before : top.add({ kind: "repeat-tokens", input: before, copies }, "x");
    const entering = this.rowwise(top, [x], this.pick(2));
    const inputs = this.pick(3) === 0 ? [entering, this.toWidth(top, entering, headWidth)] : [entering];
    const classes = Array.from({ length: 1 + this.pick(2) }, (_, index) => ({
      name: `class ${index}`,
      build: (body: BlockBuilder, args: readonly ValueId[]) => this.layer(body, args, x, attends.length),
    }));
    const classOf = Array.from({ length: layers }, () => this.pick(classes.length));
    const leaving = top.layers({ count: layers, inputs, classes, classOf });

    let y = this.rowwise(top, leaving, this.pick(3));
    if (!silent) {
      y = top.add({ kind: "select-copy", input: y, copy: copies });
      // A skip around all layers.
      if (this.pick(4) === 0 && rowWidth(top.typeOf(y)) === rowWidth(top.typeOf(before))) {
        y = top.add({ kind: "binary", function: "add", left: y, right: before });
      }
    }
    const logits = this.toWidth(top, this.rowwise(top, [y], this.pick(2)), vocab);
    return this.graph.finish([logits], {
      name: "random",
      parameters: { layers, "odd name": -2.5 },
      copies,
      predictCopy: copies,
      attends,
    });
  }

  private weight(build: BlockBuilder, shape: readonly number[]): ValueId {
    const where = build === this.graph.top ? "top" : "layers.{l}";
    return build.weight(`${where}.w${this.tensors++}${shape.length === 1 ? ".bias" : ".weight"}`, shape);
  }

  private layer(body: BlockBuilder, args: readonly ValueId[], outer: ValueId, attends: number): readonly ValueId[] {
    const start = this.pick(5) === 0 ? [...args, outer] : args;
    let y = this.rowwise(body, start, this.pick(3));
    if (this.pick(6) !== 0) {
      const heads = 1 + this.pick(2);
      const shared = this.pick(5) === 0;
      const kvHeads = shared ? heads : 1;
      const query = this.heads(body, y, heads);
      const key = shared ? query : this.heads(body, this.pick(2) === 0 ? y : args[0]!, kvHeads);
      const value = this.pick(6) === 0 ? key : this.heads(body, this.pick(2) === 0 ? y : args[0]!, kvHeads);
      const out = body.add({ kind: "attention", query, key, value, attend: this.pick(attends), scale: 0.5 });
      const merged = body.add({ kind: "merge-heads", input: out });
      y = this.rowwise(body, this.pick(2) === 0 ? [merged] : [merged, y, ...args], this.pick(5));
    }
    return args.map((arg) => {
      const width = rowWidth(body.typeOf(arg));
      const next = this.toWidth(body, this.pick(3) === 0 ? this.rowwise(body, [y, ...args], this.pick(3)) : y, width);
      // Norms keep random models from blowing up.
      const normed = body.add({ kind: "rms-norm", input: next, epsilon: 1e-3 });
      return this.pick(2) === 0
        ? body.add({ kind: "binary", function: "add", left: arg, right: normed })
        : this.pick(5) === 0
          ? arg
          : normed;
    });
  }

  /** Heads for attention, with norm, rotation and elementwise work in any order or not at all. */
  private heads(body: BlockBuilder, from: ValueId, heads: number): ValueId {
    let flat = this.toWidth(body, from, heads * headWidth, true);
    if (this.pick(4) === 0) flat = this.norm(body, flat);
    let value = body.add({ kind: "split-heads", input: flat, heads });
    for (let steps = this.pick(3); steps > 0; steps--) {
      switch (this.pick(4)) {
        case 0:
          value = this.norm(body, value);
          break;
        case 1:
          value = body.add({ kind: "unary", function: this.oneOf(unaries), input: value });
          break;
        default:
          value = body.add({
            kind: "rope",
            input: value,
            frequencies: plainFrequencies(headWidth, this.oneOf([10, 10000])),
            index:
              this.pick(2) === 0
                ? { byPos: "pos", byCopy: 0 }
                : { byPos: { op: "mul", args: ["pos", 3] }, byCopy: "copy" },
            amplitude: this.oneOf([1, 1, 0.75]),
          });
      }
    }
    return value;
  }

  private norm(build: BlockBuilder, input: ValueId): ValueId {
    const width = Number(build.typeOf(input).shape.at(-1));
    const weight = this.pick(3) === 0 ? undefined : this.vector(build, width);
    return build.add({ kind: "rms-norm", input, epsilon: 1e-3, ...(weight !== undefined && { weight }) });
  }

  /** A weight vector, sometimes as `1 + w`. */
  private vector(build: BlockBuilder, width: number): ValueId {
    const weight = this.weight(build, [width]);
    return this.pick(4) === 0 ? build.add({ kind: "scale", input: weight, factor: 1, offset: 1 }) : weight;
  }

  private toWidth(build: BlockBuilder, input: ValueId, width: number, always = false): ValueId {
    const inner = rowWidth(build.typeOf(input));
    if (inner === width && !always && this.pick(2) === 0) return input;
    const weight = this.weight(build, [width, inner]);
    const bias = this.pick(3) === 0 ? this.vector(build, width) : undefined;
    return build.add({ kind: "linear", input, weight, ...(bias !== undefined && { bias }) });
  }

  /** A few row-by-row operations on values of the pool; returns the last. */
  private rowwise(build: BlockBuilder, start: readonly ValueId[], steps: number): ValueId {
    const pool = [...start];
    let last = start[0]!;
    for (let step = 0; step < steps; step++) {
      const input = this.oneOf(pool);
      const width = rowWidth(build.typeOf(input));
      switch (this.pick(6)) {
        case 0:
          last = build.add({ kind: "unary", function: this.oneOf(unaries), input });
          break;
        case 1:
          last = this.norm(build, input);
          break;
        case 2:
          last = build.add({ kind: "scale", input, factor: this.oneOf([1, -0.5, 2]), offset: this.oneOf([0, 1]) });
          break;
        case 3: {
          const other = pool.findLast((value) => rowWidth(build.typeOf(value)) === width)!;
          const right = this.pick(4) === 0 ? this.vector(build, width) : other;
          last = build.add({ kind: "binary", function: this.oneOf(binaries), left: input, right });
          break;
        }
        case 4: {
          // A gated pair.
          const [gate, up] = [0, 1].map(() => this.toWidth(build, input, 2 * headWidth, true));
          const active = build.add({ kind: "unary", function: this.oneOf(unaries), input: gate! });
          last = build.add({ kind: "binary", function: "multiply", left: active, right: up! });
          break;
        }
        default:
          last = this.toWidth(build, input, headWidth * (1 + this.pick(3)), true);
      }
      pool.push(last);
    }
    return last;
  }
}
