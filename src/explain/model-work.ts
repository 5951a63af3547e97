import type { FusedLinear, Graph, Op, RowClass, TensorType, ValueId } from "../ir/graph/ops.js";

/** The products of a fused graph: with weights, and of queries with keys and values. */
export class ModelWork {
  private readonly types = new Map<ValueId, TensorType>();
  private readonly layersOf: readonly (readonly FusedLinear[])[];
  private readonly outside: readonly FusedLinear[];
  /** Per layer: heads × width of a head, 0 without attention. */
  private readonly attentionWidth: readonly number[];

  constructor(graph: Graph) {
    const products = (ops: readonly Op[]) => {
      for (const { results } of ops) for (const { id, type } of results) this.types.set(id, type);
      return ops.filter((op): op is FusedLinear => op.kind === "fused-linear");
    };
    const { ops } = graph.body;
    this.outside = products(ops);
    const widthOf = (body: readonly Op[]) => {
      const attention = body.find((op) => op.kind === "cached-attention");
      return attention === undefined ? 0 : this.rowWidth(attention.query);
    };
    this.layersOf = ops.flatMap((op) => {
      if (op.kind !== "layers") return [];
      const classes = op.classes.map(({ body }) => products(body.ops));
      return op.classOf.map((layerClass) => classes[layerClass]!);
    });
    this.attentionWidth = ops.flatMap((op) => {
      if (op.kind !== "layers") return [];
      const widths = op.classes.map(({ body }) => widthOf(body.ops));
      return op.classOf.map((layerClass) => widths[layerClass]!);
    });
  }

  /** Elements of all matrices that rows are multiplied with. */
  elements(): number {
    return [...this.layersOf.flat(), ...this.outside]
      .flatMap(({ weights }) => weights)
      .reduce((total, weight) => total + this.size(weight), 0);
  }

  /** `rowsOf` says how many rows of a kind a layer computes; the head computes one. */
  flops(rowsOf: (layer: number, rows: RowClass) => number): number {
    const inLayers = this.layersOf.flatMap((products, layer) =>
      products.map(({ weights, rows = "input", columnRows }) =>
        weights.reduce(
          (total, weight, index) => total + 2 * this.size(weight) * rowsOf(layer, columnRows?.[index] ?? rows),
          0,
        ),
      ),
    );
    const head = this.outside.flatMap(({ weights }) => weights.map((weight) => 2 * this.size(weight)));
    return [...inLayers, ...head].reduce((total, flops) => total + flops, 0);
  }

  /** Scores and weighted values: two products along a head for each pair that a query head looks at. */
  attentionFlops(pairs: readonly number[]): number {
    return pairs.reduce((total, count, layer) => total + 4 * count * this.attentionWidth[layer]!, 0);
  }

  private rowWidth(value: ValueId): number {
    return this.types
      .get(value)!
      .shape.slice(1)
      .reduce<number>((product, dim) => product * Number(dim), 1);
  }

  private size(weight: ValueId): number {
    return this.types.get(weight)!.shape.reduce<number>((product, dim) => product * Number(dim), 1);
  }
}
