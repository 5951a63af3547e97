/**
 * The only place that knows where operations keep their operands.
 *
 * Everything else asks: `eachOperand` to read, `mapOperands` to rename, `eachOp` to visit a whole graph.
 */
import { unreachable } from "../../diagnostics/diagnostic.js";
import type { Block, ElementExpr, Graph, HeadSlice, Op, ValueId } from "./ops.js";
import type { NewOp } from "./types.js";

/** The values an operation reads, in the order of its fields. Bodies of `layers` are not entered. */
export function* eachOperand(op: NewOp): Generator<ValueId> {
  const operands: ValueId[] = [];
  // Reading is renaming with the identity: one switch knows the fields, and the two cannot disagree.
  mapOperands(op, (value) => {
    operands.push(value);
    return value;
  });
  yield* operands;
}

/** The same operation on other values. Bodies of `layers` are not entered. */
export function mapOperands<T extends NewOp>(op: T, rename: (value: ValueId) => ValueId): T {
  return { ...op, ...renamedOperands(op, rename) };
}

/** The operand fields of an operation, renamed. */
function renamedOperands(op: NewOp, rename: (value: ValueId) => ValueId): object {
  const maybe = (value: ValueId | undefined) => (value === undefined ? undefined : rename(value));
  /** Fields that were absent stay absent, so that equal operations stay equal. */
  const present = <F extends object>(fields: F) =>
    Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
  const slice = (from: HeadSlice): HeadSlice => ({ ...from, value: rename(from.value) });

  switch (op.kind) {
    case "input":
    case "weight":
      return {};
    case "embed":
      return { ids: rename(op.ids), table: rename(op.table) };
    case "repeat-tokens":
    case "select-copy":
    case "split-heads":
    case "merge-heads":
    case "rope":
    case "rotate":
    case "unary":
    case "scale":
      return { input: rename(op.input) };
    case "linear":
      return { input: rename(op.input), weight: rename(op.weight), ...present({ bias: maybe(op.bias) }) };
    case "rms-norm":
      return { input: rename(op.input), ...present({ weight: maybe(op.weight) }) };
    case "attention":
      return { query: rename(op.query), key: rename(op.key), value: rename(op.value) };
    case "binary":
      return { left: rename(op.left), right: rename(op.right) };
    case "layers":
      return { inputs: op.inputs.map(rename) };
    case "fused-linear":
      return {
        input: rename(op.input),
        ...present({ norm: op.norm && { ...op.norm, ...present({ weight: maybe(op.norm.weight) }) } }),
        weights: op.weights.map(rename),
        biases: op.biases.map(maybe),
        epilogue: mapElementOperands(op.epilogue, rename),
      };
    case "norm":
      return {
        input: rename(op.input),
        ...present({ weight: maybe(op.weight) }),
        epilogue: mapElementOperands(op.epilogue, rename),
      };
    case "map":
      return { expression: mapElementOperands(op.expression, rename) };
    case "store-keys":
      return {
        query: slice(op.query),
        key: slice(op.key),
        value: slice(op.value),
        ...present({
          queryNorm: op.queryNorm && { ...op.queryNorm, weight: rename(op.queryNorm.weight) },
          keyNorm: op.keyNorm && { ...op.keyNorm, weight: rename(op.keyNorm.weight) },
        }),
      };
    case "cached-attention":
      return { query: rename(op.query) };
    default:
      return unreachable(op);
  }
}

/** The same expression on other values. */
function mapElementOperands(expr: ElementExpr, rename: (value: ValueId) => ValueId): ElementExpr {
  return replaceLeaves(expr, (leaf) =>
    leaf.kind === "operand" ? { kind: "operand", value: rename(leaf.value) } : leaf,
  );
}

type Leaf = Extract<ElementExpr, { kind: "accumulator" | "operand" }>;

/** Puts expressions in the place of accumulators and operands. */
export function replaceLeaves(expr: ElementExpr, replace: (leaf: Leaf) => ElementExpr): ElementExpr {
  switch (expr.kind) {
    case "accumulator":
    case "operand":
      return replace(expr);
    case "unary":
    case "scale":
      return { ...expr, input: replaceLeaves(expr.input, replace) };
    case "binary":
      return { ...expr, left: replaceLeaves(expr.left, replace), right: replaceLeaves(expr.right, replace) };
    default:
      return unreachable(expr);
  }
}

/** The values an expression reads, with repetitions. */
export function elementOperands(expr: ElementExpr): ValueId[] {
  const operands: ValueId[] = [];
  mapElementOperands(expr, (value) => {
    operands.push(value);
    return value;
  });
  return operands;
}

/** The bodies an operation holds: those of a layer loop. */
export function bodiesOf(op: Op): readonly Block[] {
  return op.kind === "layers" ? op.classes.map((layerClass) => layerClass.body) : [];
}

/** Every block of a graph, outer before inner. */
export function* eachBlock(graph: Graph): Generator<Block> {
  const pending: Block[] = [graph.body];
  for (let block = pending.shift(); block !== undefined; block = pending.shift()) {
    yield block;
    for (const op of block.ops) pending.push(...bodiesOf(op));
  }
}

/** Every operation of a graph, in order; the bodies of a loop follow it. */
export function* eachOp(graph: Graph): Generator<Op> {
  yield* eachOpOf(graph.body);
}

/** Every operation of a block and of the bodies inside it. */
function* eachOpOf(block: Block): Generator<Op> {
  for (const op of block.ops) {
    yield op;
    for (const body of bodiesOf(op)) yield* eachOpOf(body);
  }
}

/** How many operations (and yields) read each value, anywhere in the graph. An operation that reads a value twice counts once. */
export function countReaders(graph: Graph): Map<ValueId, number> {
  const readers = new Map<ValueId, number>();
  const count = (values: Iterable<ValueId>) => {
    for (const value of new Set(values)) readers.set(value, (readers.get(value) ?? 0) + 1);
  };
  for (const block of eachBlock(graph)) {
    for (const op of block.ops) count(eachOperand(op));
    count(block.yields);
  }
  return readers;
}
