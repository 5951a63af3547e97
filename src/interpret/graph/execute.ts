/**
 * Carries out a graph on a row table, in float64: the meaning of every operation, before and after fuse.
 *
 * A value with rows holds a suffix of the table, from the first row that needs it. Reading a row that was not demanded is a broken
 * invariant and throws, so the demand analysis is tested by every run.
 */
import { InternalError, unreachable } from "../../diagnostics/diagnostic.js";
import { evaluate } from "../../ir/expr.js";
import type { Block, Dim, ElementExpr, Graph, HeadNorm, HeadSlice, Op, Rotation, ValueId } from "../../ir/graph/ops.js";
import { rowWidth } from "../../ir/graph/types.js";
import { applyBinary, applyUnary, multiply, type Rows, rmsNorm, rotate, turnsOf } from "./arithmetic.js";
import { type AttentionShape, attend } from "./attend.js";
import type { KeyCache } from "./key-cache.js";
import type { RowTable, TableRow } from "./row-table.js";
import { shapesOf } from "./shapes.js";
import type { Weights } from "./weights.js";

/** A computed value: row r of the table lies at (r - first) · width. Weights have no rows. */
export interface Computed {
  readonly data: Float64Array;
  readonly width: number;
  readonly first: number;
  /** Of a weight: what an embedding gathers, where that is not `data`. */
  readonly gathered?: Float64Array;
}

/** Told every value as it is computed; `verify` compares them with a device's. */
export type Observer = (op: Op, layer: number, value: Computed) => void;

export interface ExecutionState {
  readonly graph: Graph;
  readonly weights: Weights;
  /** The cache of a layer and a sequence. */
  readonly cache: (layer: number, sequence: number, width: number) => KeyCache;
  /** Stream indices that a row sees under an attend. */
  readonly visible: (attend: number, row: TableRow) => Int32Array;
  readonly observe?: Observer;
}

/** Runs the graph and returns what it yields first, on the output rows. */
export function execute(state: ExecutionState, table: RowTable): Computed {
  return new Execution(state, table).run();
}

class Execution {
  private readonly values = new Map<ValueId, Computed>();
  private readonly shapes: ReadonlyMap<ValueId, readonly Dim[]>;

  constructor(
    private readonly state: ExecutionState,
    private readonly table: RowTable,
  ) {
    this.shapes = shapesOf(state.graph);
  }

  run(): Computed {
    const { body } = this.state.graph;
    this.runBlock(body, 0);
    return this.value(body.yields[0]!);
  }

  private runBlock(block: Block, layer: number): void {
    for (const op of block.ops) {
      if (op.kind === "layers") {
        this.runLayers(op);
        continue;
      }
      const result = this.compute(op, layer);
      if (result === undefined) continue;
      this.values.set(op.results[0]!.id, result);
      this.state.observe?.(op, layer, result);
    }
  }

  private runLayers(op: Extract<Op, { kind: "layers" }>): void {
    let carried = op.inputs.map((input) => this.value(input));
    for (const [layer, index] of op.classOf.entries()) {
      const { body } = op.classes[index]!;
      for (const [at, arg] of body.args.entries()) this.values.set(arg.id, carried[at]!);
      this.runBlock(body, layer);
      carried = body.yields.map((value) => this.value(value));
    }
    for (const [at, result] of op.results.entries()) this.values.set(result.id, carried[at]!);
  }

  private value(id: ValueId): Computed {
    const value = this.values.get(id);
    if (value === undefined) throw new InternalError(`value ${id} was not computed`);
    return value;
  }

  private vector(id: ValueId | undefined): Float64Array | undefined {
    return id === undefined ? undefined : this.value(id).data;
  }

  /** The rows of a value from table row `first` on. */
  private rowsFrom(value: Computed, first: number): Rows {
    if (value.first > first)
      throw new InternalError(`row ${first} is read but was computed only from ${value.first} on`);
    return {
      data: value.data,
      offset: (first - value.first) * value.width,
      stride: value.width,
      count: this.table.rows.length - first,
    };
  }

  private allocate(width: number, first: number): { value: Computed; out: Rows } {
    const count = this.table.rows.length - first;
    const value = { data: new Float64Array(count * width), width, first };
    return { value, out: { data: value.data, offset: 0, stride: width, count } };
  }

  /** The value an operation defines; undefined for those that define none of their own (the ids live in the table). */
  private compute(op: Exclude<Op, { kind: "layers" }>, layer: number): Computed | undefined {
    const { table, state } = this;
    const { type } = op.results[0]!;
    const first = table.first(op.rows ?? "input", layer);
    const fresh = () => this.allocate(rowWidth(type), first);
    switch (op.kind) {
      case "input":
        return undefined;
      case "weight": {
        const { data, gathered } = state.weights.get(op, layer);
        return { data, width: rowWidth(type), first: 0, ...(gathered && { gathered }) };
      }
      case "embed": {
        const source = this.value(op.table);
        const { value, out } = fresh();
        const width = value.width;
        for (let r = 0; r < out.count; r++) {
          const { id } = table.rows[first + r]!;
          const from = (source.gathered ?? source.data).subarray(id * width, (id + 1) * width);
          if (from.length !== width) throw new RangeError(`token id ${id} is outside the vocabulary`);
          value.data.set(from, r * width);
        }
        return value;
      }
      // Rows are tokens throughout: the table repeats, and its end are the predicted rows. Heads are columns.
      case "repeat-tokens":
      case "select-copy":
      case "split-heads":
      case "merge-heads":
        return this.view(this.value(op.input), first);
      case "linear": {
        const inner = Number(this.shapeOf(op.weight)[1]);
        const outer = Number(this.shapeOf(op.weight)[0]);
        const { value, out } = fresh();
        const perRow = value.width / outer;
        const from = this.rowsFrom(this.value(op.input), first);
        multiply(
          perRows(from, inner, perRow),
          this.value(op.weight).data,
          inner,
          outer,
          perRows(out, outer, perRow),
          this.vector(op.bias),
        );
        return value;
      }
      case "rms-norm":
        return this.norm(op.input, Number(type.shape.at(-1)), op.epsilon, this.vector(op.weight), first);
      case "norm": {
        const parts = op.heads ?? 1;
        const normed = this.norm(op.input, rowWidth(type) / parts, op.epsilon, this.vector(op.weight), first);
        return this.elementwise(op.epilogue, [normed], normed.width, first);
      }
      case "rope":
      case "rotate":
        return this.rotated(op.input, op, first);
      case "unary":
      case "binary":
      case "scale":
        return this.elementwise(asElements(op), [], rowWidth(type), first);
      case "map":
        return this.elementwise(op.expression, [], rowWidth(type), first);
      case "fused-linear":
        return this.fusedLinear(op, layer, first);
      case "attention": {
        const [, heads, width] = type.shape.map(Number) as [number, number, number];
        const kvHeads = Number(this.shapeOf(op.key)[1]);
        this.store(this.value(op.key), this.value(op.value), layer, table.first("input", layer));
        return this.attention(op.query, { heads, kvHeads, width, scale: op.scale }, op.attend, layer, first);
      }
      case "store-keys":
        return this.storeKeys(op, layer);
      case "cached-attention":
        return this.attention(op.query, op, op.attend, layer, first);
      default:
        return unreachable(op);
    }
  }

  private shapeOf(id: ValueId): readonly Dim[] {
    const shape = this.shapes.get(id);
    if (shape === undefined) throw new InternalError(`value ${id} has no shape`);
    return shape;
  }

  /** The same memory from a later row on. */
  private view(value: Computed, first: number): Computed {
    const { offset } = this.rowsFrom(value, first);
    return { ...value, data: value.data.subarray(offset), first };
  }

  private norm(
    input: ValueId,
    part: number,
    epsilon: number,
    weight: Float64Array | undefined,
    first: number,
  ): Computed {
    const source = this.value(input);
    const from = this.rowsFrom(source, first);
    const { value } = this.allocate(source.width, first);
    for (let at = 0; at < value.data.length; at += part) {
      rmsNorm(from.data, from.offset + at, value.data, at, part, epsilon, weight);
    }
    return value;
  }

  private rotated(input: ValueId, rope: Rotation, first: number): Computed {
    const source = this.value(input);
    const from = this.rowsFrom(source, first);
    const { value } = this.allocate(source.width, first);
    value.data.set(from.data.subarray(from.offset, from.offset + value.data.length));
    for (let r = 0; r < from.count; r++) rotateHeads(value, r, rope, this.table.rows[first + r]!);
    return value;
  }

  /** Evaluates an elementwise expression over all rows from `first` on; accumulators are given as values of those rows. */
  private elementwise(expr: ElementExpr, accumulators: readonly Computed[], width: number, first: number): Computed {
    const { value } = this.allocate(width, first);
    const evaluateElements = this.compileElements(expr, accumulators, width, first);
    for (let at = 0; at < value.data.length; at++) value.data[at] = evaluateElements(at);
    return value;
  }

  /** A function from the element's place (row · width + column, rows counted from `first`) to its value. */
  private compileElements(
    expr: ElementExpr,
    accumulators: readonly Computed[],
    width: number,
    first: number,
  ): (at: number) => number {
    switch (expr.kind) {
      case "accumulator": {
        const { data } = accumulators[expr.index]!;
        return (at) => data[at]!;
      }
      case "operand": {
        const source = this.value(expr.value);
        if (this.shapeOf(expr.value).every((dim) => typeof dim === "number")) {
          const { data } = source;
          return (at) => data[(at % width) % data.length]!;
        }
        const { data, offset } = this.rowsFrom(source, first);
        return (at) => data[offset + at]!;
      }
      case "unary": {
        const input = this.compileElements(expr.input, accumulators, width, first);
        return (at) => applyUnary(expr.function, input(at));
      }
      case "binary": {
        const left = this.compileElements(expr.left, accumulators, width, first);
        const right = this.compileElements(expr.right, accumulators, width, first);
        return (at) => applyBinary(expr.function, left(at), right(at));
      }
      case "scale": {
        const input = this.compileElements(expr.input, accumulators, width, first);
        return (at) => input(at) * expr.factor + expr.offset;
      }
      default:
        return unreachable(expr);
    }
  }

  private fusedLinear(op: Extract<Op, { kind: "fused-linear" }>, layer: number, first: number): Computed {
    const source = this.value(op.input);
    const input = op.norm
      ? this.norm(op.input, source.width, op.norm.epsilon, this.vector(op.norm.weight), first)
      : source;
    const from = this.rowsFrom(input, first);
    const outers = op.weights.map((weight) => Number(this.shapeOf(weight)[0]));
    const multiplied = (index: number, out: Rows) =>
      multiply(
        from,
        this.value(op.weights[index]!).data,
        source.width,
        outers[index]!,
        out,
        this.vector(op.biases[index]),
      );

    if (op.combine === "pair") {
      const accumulators = outers.map((outer, index) => {
        const { value, out } = this.allocate(outer, first);
        multiplied(index, out);
        return value;
      });
      return this.elementwise(op.epilogue, accumulators, outers[0]!, first);
    }
    const width = outers.reduce((sum, outer) => sum + outer, 0);
    const { value, out } = this.allocate(width, first);
    let column = 0;
    for (const [index, outer] of outers.entries()) {
      multiplied(index, { ...out, offset: column });
      // Columns that fewer rows need are nobody's business in the others.
      const needed = this.table.first(op.columnRows?.[index] ?? op.rows ?? "input", layer) - first;
      for (let r = 0; r < needed; r++) value.data.fill(Number.NaN, r * width + column, r * width + column + outer);
      column += outer;
    }
    return this.elementwise(op.epilogue, [value], width, first);
  }

  private storeKeys(op: Extract<Op, { kind: "store-keys" }>, layer: number): Computed {
    const finished = (slice: HeadSlice, first: number, norm?: HeadNorm, rope?: Rotation): Computed => {
      const from = this.rowsFrom(this.value(slice.value), first);
      const { value } = this.allocate(slice.heads * op.width, first);
      for (let r = 0; r < from.count; r++) {
        const at = from.offset + r * from.stride + slice.offset;
        value.data.set(from.data.subarray(at, at + value.width), r * value.width);
        if (norm !== undefined) {
          const part = norm.over === "head" ? op.width : value.width;
          for (let c = 0; c < value.width; c += part) {
            const to = r * value.width + c;
            rmsNorm(value.data, to, value.data, to, part, norm.epsilon, this.vector(norm.weight));
          }
        }
        if (rope !== undefined) rotateHeads(value, r, rope, this.table.rows[first + r]!);
      }
      return value;
    };
    const input = this.table.first("input", layer);
    const key = finished(op.key, input, op.keyNorm, op.keyRope);
    const value = finished(op.value, input);
    this.store(key, value, layer, input);
    return finished(op.query, this.table.first("query", layer), op.queryNorm, op.queryRope);
  }

  /** Writes the keys and values of the rows from `first` on. */
  private store(key: Computed, value: Computed, layer: number, first: number): void {
    const keys = this.rowsFrom(key, first);
    const values = this.rowsFrom(value, first);
    const { copies } = this.state.graph;
    for (let r = 0; r < keys.count; r++) {
      const { sequence, pos, copy } = this.table.rows[first + r]!;
      const cache = this.state.cache(layer, sequence, key.width);
      const index = pos * copies + copy - 1;
      cache.write(index, keys.data, keys.offset + r * keys.stride, values.data, values.offset + r * values.stride);
    }
  }

  private attention(
    query: ValueId,
    shape: AttentionShape,
    attendIndex: number,
    layer: number,
    first: number,
  ): Computed {
    const from = this.rowsFrom(this.value(query), first);
    const { value, out } = this.allocate(shape.heads * shape.width, first);
    for (let r = 0; r < from.count; r++) {
      const row = this.table.rows[first + r]!;
      const cache = this.state.cache(layer, row.sequence, shape.kvHeads * shape.width);
      attend(
        shape,
        from.data,
        from.offset + r * from.stride,
        cache,
        this.state.visible(attendIndex, row),
        out.data,
        r * out.stride,
      );
    }
    return value;
  }
}

/** The same memory as `count · parts` rows of `width` elements: heads are multiplied one by one. */
function perRows(rows: Rows, width: number, parts: number): Rows {
  return parts === 1 ? rows : { data: rows.data, offset: rows.offset, stride: width, count: rows.count * parts };
}

function asElements(op: Extract<Op, { kind: "unary" | "binary" | "scale" }>): ElementExpr {
  const operand = (value: ValueId): ElementExpr => ({ kind: "operand", value });
  if (op.kind === "binary") {
    return { kind: "binary", function: op.function, left: operand(op.left), right: operand(op.right) };
  }
  return op.kind === "unary"
    ? { kind: "unary", function: op.function, input: operand(op.input) }
    : { kind: "scale", input: operand(op.input), factor: op.factor, offset: op.offset };
}

/** Turns every head of row r (counted from the first of `value`) to its place. */
function rotateHeads(value: Computed, r: number, rope: Rotation, { pos, copy }: TableRow): void {
  const index = evaluate(rope.index.byPos, { pos }) + evaluate(rope.index.byCopy, { copy });
  const turns = turnsOf(rope.frequencies, index, rope.amplitude);
  for (let at = 0; at < value.width; at += turns.length) rotate(value.data, r * value.width + at, turns);
}
