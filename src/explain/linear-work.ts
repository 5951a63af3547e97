import type { FusedLinear, Graph, Op, RowClass, TensorType, ValueId } from "../ir/graph/ops.js";

/** The matrix products of a fused graph. */
export class LinearWork {
  private readonly types = new Map<ValueId, TensorType>();
  private readonly layersOf: readonly (readonly FusedLinear[])[];
  private readonly outside: readonly FusedLinear[];

  constructor(graph: Graph) {
    const products = (ops: readonly Op[]) => {
      for (const { results } of ops) for (const { id, type } of results) this.types.set(id, type);
      return ops.filter((op): op is FusedLinear => op.kind === "fused-linear");
    };
    const { ops } = graph.body;
    this.outside = products(ops);
    this.layersOf = ops.flatMap((op) => {
      if (op.kind !== "layers") return [];
      const classes = op.classes.map(({ body }) => products(body.ops));
      return op.classOf.map((layerClass) => classes[layerClass]!);
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

  private size(weight: ValueId): number {
    return this.types.get(weight)!.shape.reduce<number>((product, dim) => product * Number(dim), 1);
  }
}
