/**
 * The weights of a graph as float64, converted once per tensor.
 */
import type { Graph, Weight } from "../../ir/graph/ops.js";
import { tensorName } from "../../runtime/packing.js";

export interface WeightTensor {
  readonly data: Float64Array;
  /** What an embedding gathers, where the tensor is stored in another way for products. */
  readonly gathered?: Float64Array;
  readonly shape: readonly number[];
}

/** Gives the tensor of a full name; throws when the checkpoint lacks it. */
export type WeightSource = (tensor: string) => WeightTensor;

/** Looks a weight up; `{l}` in its name is the layer. The shape must be the one the graph declares. */
export class Weights {
  private readonly known = new Map<string, WeightTensor>();

  constructor(
    private readonly graph: Graph,
    private readonly source: WeightSource,
  ) {}

  get(weight: Weight, layer: number): WeightTensor {
    const name = tensorName(weight.tensor, layer);
    const known = this.known.get(name);
    if (known !== undefined) return known;
    const tensor = this.source(name);
    const { shape } = tensor;
    const wanted = weight.results[0]!.type.shape;
    if (shape.length !== wanted.length || shape.some((size, index) => size !== wanted[index])) {
      throw new Error(`${this.graph.name} takes ${name} as [${wanted.join(", ")}], it is [${shape.join(", ")}]`);
    }
    this.known.set(name, tensor);
    return tensor;
  }
}
