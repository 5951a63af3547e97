/**
 * Norms that a decode step leaves to the product that reads them.
 *
 * Where a block norms what it adds to the stream, `y = x + norm(o)`, nothing is left to absorb the norm but the products that read y.
 * The first of them computes its rows of y for itself and writes them down for those that follow (`DeferredInput`). It may stand
 * in the next layer: then the layers after the first begin with the norm that the layer before left undone, and the last one's
 * is done after the layers.
 *
 * That saves two dispatches of a layer. Prefill does such norms by themselves: its many workgroups would each do them again. So does a
 * decode step of more rows than a product takes them on for (`mostRows`).
 */
import type {
  Block,
  ElementExpr,
  FusedLinear,
  Graph,
  Layers,
  NormOp,
  Op,
  TensorType,
  ValueId,
} from "../ir/graph/ops.js";
import { rowWidth } from "../ir/graph/types.js";
import { eachBlock, eachOperand, elementOperands } from "../ir/graph/walk.js";

export interface DeferredNorm {
  readonly norm: NormOp;
  readonly product: FusedLinear;
  /** Whether the product stands in the layer after the norm's. */
  readonly across: boolean;
  /** In more rows the norm is done by itself after all. Any number where this is absent. */
  readonly mostRows?: number;
}

export class DeferredNorms {
  private readonly byNorm: ReadonlyMap<Op, DeferredNorm>;
  private readonly byProduct: ReadonlyMap<Op, DeferredNorm>;

  constructor(readonly all: readonly DeferredNorm[]) {
    this.byNorm = new Map(all.map((deferred) => [deferred.norm, deferred]));
    this.byProduct = new Map(all.map((deferred) => [deferred.product, deferred]));
  }

  ofNorm(op: Op): DeferredNorm | undefined {
    return this.byNorm.get(op);
  }

  ofProduct(op: Op): DeferredNorm | undefined {
    return this.byProduct.get(op);
  }

  /** What is left undone when a layer ends. */
  get across(): readonly DeferredNorm[] {
    return this.all.filter(({ across }) => across);
  }

  /** Those alone that are made up for in the same layer. */
  get within(): DeferredNorms {
    return new DeferredNorms(this.all.filter(({ across }) => !across));
  }
}

/** What products of the device can take on. */
export interface DeferralRoom {
  readonly maxStorageBuffers: number;
  /** Whether matrices come with a buffer of scales. */
  readonly scales: boolean;
  /** Most rows in which it pays for a product of this shape; any number where this is absent. */
  readonly mostRows?: (product: ProductShape) => number;
}

/** Sizes of a product, as in `LinearOptions`. */
export interface ProductShape {
  readonly inputs: number;
  readonly outputs: number;
  readonly matrices: number;
}

/** The norms of a graph that can be left to a product. */
export function deferredNorms(graph: Graph, room: DeferralRoom): DeferredNorms {
  const types = new Map<ValueId, TensorType>();
  for (const block of eachBlock(graph)) {
    for (const { id, type } of [...block.args, ...block.ops.flatMap((op) => op.results)]) types.set(id, type);
  }
  const candidates = [...eachBlock(graph)].flatMap((block) => inBlock(block));
  for (const op of graph.body.ops) if (op.kind === "layers") candidates.push(...acrossLayers(op));
  const taken = new Set<Op>();
  return new DeferredNorms(
    candidates.flatMap((candidate) => {
      const { norm, product } = candidate;
      if (taken.has(norm) || taken.has(product)) return [];
      if (!isSimple(norm, types) || bindingsOf(candidate, types, room.scales) > room.maxStorageBuffers) return [];
      const mostRows = room.mostRows?.(shapeOf(product, types));
      if (mostRows === 0) return [];
      taken.add(norm).add(product);
      return [mostRows === undefined ? candidate : { ...candidate, mostRows }];
    }),
  );
}

function shapeOf({ input, weights, combine }: FusedLinear, types: ReadonlyMap<ValueId, TensorType>): ProductShape {
  const outputs = weights.map((weight) => Number(types.get(weight)!.shape[0]));
  const inputs = rowWidth(types.get(input)!);
  return combine === "pair"
    ? { inputs, outputs: outputs[0]!, matrices: outputs.length }
    : { inputs, outputs: outputs.reduce((a, b) => a + b, 0), matrices: 1 };
}

/** Norms whose first reader is a product that reads them as its input, in the same rows. */
function inBlock(block: Block): DeferredNorm[] {
  return block.ops.flatMap((norm, index): DeferredNorm[] => {
    if (norm.kind !== "norm") return [];
    const value = norm.results[0]!.id;
    const product = firstReader(block.ops.slice(index + 1), value);
    if (product === undefined || block.yields.includes(value)) return [];
    return (product.rows ?? "input") === (norm.rows ?? "input") ? [{ norm, product, across: false }] : [];
  });
}

/** Norms that end a layer, where the next one, which is like it, begins with a product of what it carries on. */
function acrossLayers({ classes }: Layers): DeferredNorm[] {
  const [only, ...others] = classes;
  if (only === undefined || others.length > 0) return [];
  const { args, ops, yields } = only.body;
  const made = new Set(ops.flatMap((op) => op.results.map(({ id }) => id)));
  return args.flatMap(({ id }, place): DeferredNorm[] => {
    const norm = ops.find((op) => op.kind === "norm" && op.results[0]!.id === yields[place]);
    const product = firstReader(ops, id);
    if (norm?.kind !== "norm" || product === undefined) return [];
    const alone = yields.filter((value) => value === yields[place]).length === 1 && !yields.includes(id);
    const last = !ops.some((op) => [...eachOperand(op)].includes(yields[place]!));
    // What the layer was given is overwritten by then.
    const lasting = [...eachOperand(norm)].every((value) => made.has(value));
    const sameRows = norm.rows === "query" && (product.rows ?? "input") === "input";
    return alone && last && lasting && sameRows ? [{ norm, product, across: true }] : [];
  });
}

/** The first operation that reads a value, if it is a product that reads it once, as its input. */
function firstReader(ops: readonly Op[], value: ValueId): FusedLinear | undefined {
  const reader = ops.find((op) => [...eachOperand(op)].includes(value));
  if (reader?.kind !== "fused-linear" || reader.input !== value) return undefined;
  return [...eachOperand(reader)].filter((operand) => operand === value).length === 1 ? reader : undefined;
}

/** A norm of whole rows with an epilogue that is the same on vectors as on elements, and 0 where everything is 0. */
function isSimple({ heads = 1, epilogue, results }: NormOp, types: ReadonlyMap<ValueId, TensorType>): boolean {
  const width = rowWidth(results[0]!.type);
  const isSum = (expr: ElementExpr): boolean => {
    switch (expr.kind) {
      case "accumulator":
        return true;
      case "operand": {
        const { shape } = types.get(expr.value)!;
        return shape.at(-1) === width;
      }
      case "binary":
        return isSum(expr.left) && isSum(expr.right);
      case "scale":
        return expr.offset === 0 && isSum(expr.input);
      case "unary":
        return false;
    }
  };
  return heads === 1 && isSum(epilogue);
}

function bindingsOf({ norm, product }: DeferredNorm, types: ReadonlyMap<ValueId, TensorType>, scales: boolean): number {
  const own = new Set([...elementOperands(product.epilogue)].filter((value) => types.has(value))).size;
  const gain = (weight: ValueId | undefined) => (weight === undefined ? 0 : 1);
  const bias = product.biases.some((value) => value !== undefined) ? 1 : 0;
  // The branch, the matrix, the result, and the stream.
  return (
    4 +
    own +
    bias +
    (scales ? 1 : 0) +
    gain(product.norm?.weight) +
    gain(norm.weight) +
    new Set(elementOperands(norm.epilogue)).size
  );
}
