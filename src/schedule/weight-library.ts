/**
 * The packed weights of a package: which tensors of the checkpoint stand together in which buffer, as templates over the layer.
 */
import { InternalError } from "../diagnostics/diagnostic.js";
import { shortName } from "../ir/graph/builder.js";
import type { Graph, ValueId } from "../ir/graph/ops.js";
import { eachOp } from "../ir/graph/walk.js";
import { bytesOf, type FloatType } from "../ir/kernel/types.js";
import { fragmentLength } from "../runtime/fragments.js";
import type { Element, Quantisation, WeightInfo } from "../runtime/manifest.js";
import { wordsOfRow } from "../runtime/quantise.js";

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

/** How matrices are stored. */
export interface WeightStorage {
  readonly element: FloatType;
  /** Matrices over so many bytes may be bound in parts. */
  readonly largestBinding: number;
  /** How those lie that products read; by rows unless given. */
  readonly productLayout?: WeightLayout;
  /** Those that products read are small integers. */
  readonly quantise?: Quantisation;
}

/** The matrices of a product. */
export interface ProductWeights {
  readonly matrix: WeightInfo;
  /** What its whole numbers are multiplied by; the matrix is floats where there are none. */
  readonly scales?: WeightInfo;
}

/** Part of a packed vector: a tensor, or so many zeros where a concatenation has a gap. */
export type VectorPart = ValueId | { readonly zeros: number };

export class WeightLibrary {
  private readonly tensors: ReadonlyMap<ValueId, Tensor>;
  private readonly packed = new Map<string, { info: WeightInfo; readonly layers: Set<number> }>();
  private readonly names = new Set<string>();

  constructor(
    graph: Graph,
    private readonly storage: WeightStorage,
  ) {
    const weights = [...eachOp(graph)].filter((op) => op.kind === "weight");
    this.tensors = new Map(
      weights.map(({ tensor, results: [result] }) => [result!.id, { tensor, shape: result!.type.shape.map(Number) }]),
    );
  }

  /** How a table lies that an embedding shares with a product. Where products read small integers, they have a copy of their own. */
  get sharedLayout(): WeightLayout {
    return this.storage.quantise === undefined ? this.productLayout : "rows";
  }

  private get productLayout(): WeightLayout {
    return this.storage.productLayout ?? "rows";
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
    const { together = false } = use;
    const { element, largestBinding } = this.storage;
    const { rows, columns, sources } = this.stack(values, use);
    const splittable = !together && rows * columns * bytesOf(element) > largestBinding;
    return this.add({ element, rows, columns, ...layoutOf(use), sources, splittable }, layers);
  }

  /** The same for a product, which may read them as small integers. Then an embedding that shares a matrix has floats of its own. */
  product(values: readonly ValueId[], layers: readonly number[], together: boolean): ProductWeights {
    const { quantise, largestBinding } = this.storage;
    const use = { together, layout: this.productLayout };
    if (quantise === undefined) return { matrix: this.matrix(values, layers, use) };
    const shape = { ...this.stack(values, use), ...layoutOf(use) };
    const splittable = !together && shape.rows * 4 * wordsOfRow(shape.columns, quantise.bits) > largestBinding;
    const matrix = this.add(
      { element: "u32", ...shape, splittable, quantised: { ...quantise, part: "values" } },
      layers,
    );
    // Scales are a sixteenth or less of what the values were, and are bound whole.
    const scales = this.add(
      { element: "bf16", ...shape, splittable: false, quantised: { ...quantise, part: "scales" } },
      layers,
    );
    return { matrix, scales };
  }

  private stack(values: readonly ValueId[], { together = false, layout = "rows" }: MatrixUse = {}) {
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
    return { rows: row, columns, sources };
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
    content: Pick<WeightInfo, "rows" | "columns" | "layout" | "quantised" | "sources" | "splittable"> & {
      element: Element;
    },
    layers: readonly number[],
  ) {
    const key = JSON.stringify(content);
    let entry = this.packed.get(key);
    if (entry === undefined) {
      const perLayer = content.sources.some(({ tensor }) => tensor.includes("{l}"));
      const info = { name: this.uniqueName(content), perLayer, ...content };
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

  /** `q_proj.k_proj.v_proj`, from the last telling words of the tensors' names; `q_proj.k_proj.v_proj.scales`. */
  private uniqueName({ sources, quantised }: Pick<WeightInfo, "sources" | "quantised">): string {
    const stack = sources.map(({ tensor, zeros }) => (zeros ? "zeros" : shortName(tensor))).join(".");
    const base = quantised?.part === "scales" ? `${stack}.scales` : stack;
    let name = base;
    for (let count = 2; this.names.has(name); count++) name = `${base}_${count}`;
    this.names.add(name);
    return name;
  }
}

/** Rows are the default, which manifests leave out. */
function layoutOf({ layout = "rows" }: MatrixUse): Pick<WeightInfo, "layout"> {
  return layout === "rows" ? {} : { layout };
}
