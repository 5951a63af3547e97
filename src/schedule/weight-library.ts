/**
 * The packed weights of a package: which tensors of the checkpoint stand together in which buffer, as templates over the layer.
 */
import { InternalError } from "../diagnostics/diagnostic.js";
import type { Graph, ValueId } from "../ir/graph/ops.js";
import { eachOp } from "../ir/graph/walk.js";
import { bytesOf, type FloatType } from "../ir/kernel/types.js";
import { fragmentLength } from "../runtime/fragments.js";
import type { Element, WeightInfo } from "../runtime/manifest.js";

/** A tensor of the checkpoint, as the graph names it. */
interface Tensor {
  readonly tensor: string;
  readonly shape: readonly number[];
}

type WeightLayout = NonNullable<WeightInfo["layout"]>;

export interface MatrixUse {
  /** The matrices belong to one output and cannot be bound in parts. */
  readonly together?: boolean;
  readonly layout?: WeightLayout;
}

/** Part of a packed vector: a tensor, or so many zeros where a concatenation has a gap. */
export type VectorPart = ValueId | { readonly zeros: number };

export class WeightLibrary {
  private readonly tensors: ReadonlyMap<ValueId, Tensor>;
  private readonly packed = new Map<string, { info: WeightInfo; readonly layers: Set<number> }>();
  private readonly names = new Set<string>();

  /**
   * `element`: how matrices are stored. `largestBinding`: matrices over so many bytes may be bound in parts. `productLayout`: how those
   * lie that products read.
   */
  constructor(
    graph: Graph,
    private readonly element: FloatType,
    private readonly largestBinding: number,
    readonly productLayout: WeightLayout = "rows",
  ) {
    const weights = [...eachOp(graph)].filter((op) => op.kind === "weight");
    this.tensors = new Map(
      weights.map(({ tensor, results: [result] }) => [result!.id, { tensor, shape: result!.type.shape.map(Number) }]),
    );
  }

  has(value: ValueId): boolean {
    return this.tensors.has(value);
  }

  shapeOf(value: ValueId): readonly number[] {
    return this.tensor(value).shape;
  }

  /**
   * Matrices [rows, columns] one after the other.
   *
   * @param layers the layers that use it; none for weights outside the layers
   */
  matrix(values: readonly ValueId[], layers: readonly number[], use: MatrixUse = {}): WeightInfo {
    const { together = false, layout = "rows" } = use;
    const tensors = values.map((value) => this.tensor(value));
    const columns = tensors[0]!.shape[1]!;
    let row = 0;
    const sources = tensors.map(({ tensor, shape }) => {
      // A product with several matrices finds each at the beginning of a tile.
      if (together && layout === "fragments") row = fragmentLength(row);
      const source = { tensor, shape, row };
      row += shape[0]!;
      return source;
    });
    const bytes = row * columns * bytesOf(this.element);
    const splittable = !together && bytes > this.largestBinding;
    const tiled = layout === "rows" ? {} : { layout };
    return this.add({ element: this.element, rows: row, columns, ...tiled, sources, splittable }, layers);
  }

  /** Vectors one after the other. They are small and enter sums and norms, so they stay f32. */
  vector(parts: readonly VectorPart[], layers: readonly number[]): WeightInfo {
    let row = 0;
    const sources = parts.map((part) => {
      const { tensor, shape, ...gap } =
        typeof part === "number" ? this.tensor(part) : { tensor: "", shape: [part.zeros], zeros: true };
      const source = { tensor, shape, row, ...gap };
      row += shape[0]!;
      return source;
    });
    return this.add({ element: "f32", rows: row, columns: 1, sources, splittable: false }, layers);
  }

  /** All weights; `layerCount` tells which of them every layer has. */
  finish(layerCount: number): WeightInfo[] {
    return [...this.packed.values()].map(({ info, layers }) => {
      const some = info.perLayer && layers.size < layerCount;
      return some ? { ...info, layers: [...layers].sort((a, b) => a - b) } : info;
    });
  }

  private add(
    content: Pick<WeightInfo, "rows" | "columns" | "layout" | "sources" | "splittable"> & { element: Element },
    layers: readonly number[],
  ) {
    const key = JSON.stringify(content);
    let entry = this.packed.get(key);
    if (entry === undefined) {
      const perLayer = content.sources.some(({ tensor }) => tensor.includes("{l}"));
      const info = { name: this.uniqueName(content.sources), perLayer, ...content };
      entry = { info, layers: new Set() };
      this.packed.set(key, entry);
    }
    for (const layer of layers) entry.layers.add(layer);
    return entry.info;
  }

  private tensor(value: ValueId): Tensor {
    const tensor = this.tensors.get(value);
    if (tensor === undefined) throw new InternalError(`value ${value} is no weight`);
    return tensor;
  }

  /** `q_proj.k_proj.v_proj`, from the last telling words of the tensors' names. */
  private uniqueName(sources: WeightInfo["sources"]): string {
    const words = sources.map(({ tensor }) => {
      const parts = tensor.split(".").filter((word) => word !== "weight");
      return parts.at(-1) === "bias" ? parts.slice(-2).join("_") : (parts.at(-1) ?? "");
    });
    const base = words.map((word) => word || "zeros").join(".");
    let name = base;
    for (let count = 2; this.names.has(name); count++) name = `${base}_${count}`;
    this.names.add(name);
    return name;
  }
}
