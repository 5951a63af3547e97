/**
 * The manifest of a compiled package: everything a run time needs to know to run a model, as plain JSON.
 *
 * The compiler writes it, `session.ts` (or a loader in another language) executes it. All sizes are integer expressions
 * (`expr.ts`) over symbols, so one package serves every batch, prompt and context length.
 *
 * ── How a phase runs ──
 *
 * A phase (a prefill slice, or one decode step) works on a **row table**: a flat list of token rows (sequence, pos, copy, id). The rows
 * are ordered so that those which are needed in the fewest layers come first. Layer l then computes a suffix of the table and the
 * residual stream stays in place: a step runs on rows [row_base, row_base + row_count).
 *
 * Row ranges of a layer: `input` rows enter it, `query` rows leave it (query rows of layer l = input rows of layer l + 1), `output`
 * rows are the predicting copies of the last positions, one per sequence, in sequence order, at the end of the table.
 *
 * Prefill tables are built by the host from `rows.prefill`. A long prompt is cut into slices; each takes the rows at its positions of the
 * plan of the whole prompt, so only the last one has output rows, and steps without rows (row_count = 0) are left out. When a sequence is
 * cut back to its first m positions, rings and the keys of later positions are lost. What comes next is a prompt with start = m whose
 * slices begin at the first position that has rows, before m where something has to be computed anew.
 *
 * The decode table has batch × K rows, copy-major in the order `rows.decode.order`; kernels advance it on the device, so a decode step
 * replays unchanged.
 *
 * ── Control buffer ──
 *
 * All integers that a phase's kernels read live in one storage buffer `control` of i32 per phase:
 *
 *   sequences  at `sequences_at`, `sequence_stride` words per sequence:
 *              [0] length: positions known after this phase's rows (n)   [1] start: the first position of this phase
 *              [2] last sampled token id   [3] steps sampled so far (seeds the random numbers)
 *              [4 + g] for key group g: index of the key in slot 0 of what this phase reads (see KeyStore); 0 but in a prefill scratch
 *   rows       at `rows_at`, 4 words per row: sequence, pos, copy, token id
 *   tiles      at `tiles_at`, 4 words per query tile: first row, number of rows, stride between rows, sequence
 *
 * In prefill a query tile is at most `rows.tileRows` rows of one sequence, neighbours in the table (stride 1); in decode
 * it is the rows of one sequence (stride = batch), again at most `rows.tileRows`. Tiles of one row range form a contiguous run
 * [tile_base, tile_base + tile_count).
 *
 * ── Symbols ──
 *
 * Of a session: batch, context (positions per sequence), slice (most positions of one prefill slice), splits (key splits of decode
 * attention), and everything under `constants`. Of a phase: rows (rows in the table), max_rows (of the buffers), sequences_at,
 * rows_at, tiles_at, sequence_stride, and n and start (the greatest of all sequences; so in `when` of prefill steps only). Of a step:
 * row_base, row_count, tile_base, tile_count, and in a layer: layer, and for every key group, by its place g in `groups`: slots_g
 * (slots per sequence of what is bound, the modulus of slot = (i - base) mod slots). Of a step that binds a `store`: keep, ring_slots and
 * scratch_slots of its group in the layer.
 * Of sampling: greedy (1 when the temperature is 0); temperature etc. are parameters of their own kind (SampleParameter).
 *
 * The head writes the buffer named `logits`, f32 [batch][vocab], one row per output row.
 */
import type { Expr } from "./expr.js";

export const manifestVersion = 1;

export type Element = "f32" | "f16" | "bf16" | "i32" | "u32";

export interface Manifest {
  readonly format: "phdc-package";
  readonly version: number;
  /** `phdc 0.1.0`. */
  readonly generator: string;
  readonly target: "webgpu" | "cuda";
  readonly model: ModelInfo;
  /** Symbols a loader has to choose or is told, with what they mean and their least and greatest value. */
  readonly symbols: readonly SymbolInfo[];
  /** Names with fixed values that expressions may use: dim, heads, … */
  readonly constants: Readonly<Record<string, number>>;
  readonly groups: readonly KeyGroupInfo[];
  readonly rows: RowRules;
  /** Key stores of a layer, one per group in the order of `groups`; equal layers share an entry: `layers[l]` indexes `distinct`. */
  readonly stores: { readonly distinct: readonly (readonly KeyStore[])[]; readonly layers: readonly number[] };
  readonly buffers: readonly BufferInfo[];
  readonly tables: readonly TableInfo[];
  readonly weights: readonly WeightInfo[];
  readonly kernels: readonly KernelInfo[];
  /** What goes with the kernel files of a CUDA package; absent in others. */
  readonly modules?: ModulesInfo;
  readonly phases: { readonly prefill: Phase; readonly decode: Phase };
  /** Samples from `logits` [batch, vocab] and advances the decode table; recorded after a phase when text is generated. */
  readonly sampling: readonly Step[];
  /** Bytes of device memory: everything a session allocates. */
  readonly memory: {
    readonly weights: Expr;
    readonly caches: Expr;
    readonly working: Expr;
  };
  readonly requires: { readonly features: readonly string[]; readonly limits: Readonly<Record<string, number>> };
  /** Largest absolute difference from the float64 model that is to be expected of one logit. */
  readonly tolerance: number;
  readonly selftest?: SelfTestInfo;
}

export interface ModelInfo {
  readonly name: string;
  /** The `.phd` file, as given to the compiler. */
  readonly source: string;
  readonly parameters: Readonly<Record<string, number>>;
  readonly vocab: number;
  readonly layers: number;
  /** K. */
  readonly copies: number;
  /** The copy that predicts (usually K). */
  readonly predictCopy: number;
  /** The predicate, printed. */
  readonly attends: readonly string[];
}

export interface SymbolInfo {
  readonly name: string;
  readonly doc: string;
  readonly min: number;
  readonly max?: number;
}

/**
 * Keys of copies firstCopy … lastCopy, stored together; index i of a token = pos · (lastCopy - firstCopy + 1) + copy - firstCopy.
 *
 * Copies of which some positions are kept longer than the others (attention sinks) have two groups, one after the other: the positions
 * [0, endPos) and those from firstPos on. Indices count from position 0 in both.
 */
export interface KeyGroupInfo {
  readonly name: string;
  readonly firstCopy: number;
  readonly lastCopy: number;
  /** 0 when left out. */
  readonly firstPos?: number;
  /** Exclusive; without an end when left out. */
  readonly endPos?: number;
}

/** Rows of one key group: every index i in [lo, hi) of any range, where `where` (if given) is not 0. */
export interface RowSet {
  readonly group: string;
  readonly ranges: readonly {
    /**
     * In the sizes of the whole prompt, of which a slice takes the rows at its own positions: `n` (positions in the end) and `start`
     * (positions of which the keys are cached that are kept for ever; 0 when a sequence begins).
     */
    readonly lo: Expr;
    readonly hi: Expr;
    /** Additionally in `pos` and `copy` of the token. */
    readonly where?: Expr;
  }[];
}

export interface RowRules {
  /** Most rows of a query tile, per phase. */
  readonly tileRows: { readonly prefill: number; readonly decode: number };
  /**
   * Rows entering each layer, per group; the rows leaving the last layer are the predicting copies of the last positions.
   * Layers with equal demands share an entry: `prefill.layers[l]` is an index into `prefill.inputs`.
   */
  readonly prefill: { readonly inputs: readonly (readonly RowSet[])[]; readonly layers: readonly number[] };
  /**
   * Copies in the order of the decode table (those needed in the fewest layers first, the predicting copy last), and per layer how
   * many of the last ones enter it and leave it.
   */
  readonly decode: {
    readonly order: readonly number[];
    readonly input: readonly number[];
    readonly query: readonly number[];
  };
}

/**
 * Where the keys and values of one group live in one layer.
 *
 * Keys and values share a buffer of type `element`: [2][batch][slots][kvWidth], keys first.
 * A key with index i stands in slot (i - base) mod slots.
 *
 *   forever  slots = context (or endPos, if that is less) · copies in the group; written in both phases; base 0
 *   ring     slots = keep + copies in the group, so that a decode step can write its rows and read the kept ones. Prefill works on the
 *            scratch instead; `keep` last keys are copied in before (when start > 0) and out after attention
 *   step     nothing is kept between steps; decode uses one small buffer (copies in the group) shared by all layers, if its kernels store
 *            such keys at all; prefill uses the scratch
 *   unread   no key is ever read; nothing is stored
 */
export interface KeyStore {
  readonly group: string;
  readonly layout: "forever" | "ring" | "step" | "unread";
  readonly element: "f32" | "f16" | "bf16";
  /** Elements of one key, and of one value: key heads × width of a head. */
  readonly kvWidth: number;
  /** Keys that outlive a step; ring only. */
  readonly keep: number;
  /** For ring: keys of an earlier chunk of this many positions are dead. For people; the predicate hides them anyway. */
  readonly chunk?: number;
  /** Slots per sequence in decode. */
  readonly slots: Expr;
}

/** A buffer of the session. `working` buffers may share memory: those with the same `slot` alias. */
export interface BufferInfo {
  readonly name: string;
  readonly doc: string;
  readonly element: Element;
  /** Elements; in session symbols and max_rows. */
  readonly length: Expr;
  /** Buffers with one slot name share one allocation, as large as the largest. */
  readonly slot: string;
}

/** Constant data the host computes in float64 and uploads: rotation tables. */
export interface TableInfo {
  readonly name: string;
  readonly kind: "rope";
  readonly doc: string;
  /** Radians per unit of index, one per pair. */
  readonly frequencies: readonly number[];
  readonly amplitude: number;
  /** `pos`: row p holds the angles of `index` at pos = p, for p < context. `copy`: row c - 1, for copies 1..K; amplitude not applied. */
  readonly over: "pos" | "copy";
  /** Rotation index in `pos` or `copy`. */
  readonly index: Expr;
  /** Rows of the table. Layout: f32 [rows][pairs][2] = cos, sin. */
  readonly rows: Expr;
}

/**
 * A packed weight: rows of one or more source tensors, stacked, as [rows][columns] in `element`.
 *
 * With `perLayer`, names hold `{l}` and there is one packed weight per layer of the listed classes.
 */
export interface WeightInfo {
  readonly name: string;
  readonly perLayer: boolean;
  /** Layers that have it; every layer when absent. Only with `perLayer`. */
  readonly layers?: readonly number[];
  readonly element: Element;
  readonly rows: number;
  readonly columns: number;
  /**
   * `rows` (the default): [rows][columns]. `fragments`: padded with zeros to multiples of 16 and cut into 16 × 16 tiles of 16-bit
   * elements, a row of tiles after the other; a tile is 512 bytes, and lane l of a subgroup of 32 holds eight elements at bytes 16·l …
   * 16·l + 15: rows ⌊l / 4⌋ and ⌊l / 4⌋ + 8 at columns 2·(l mod 4) and 8 beyond, in the order upper left, lower left, upper right, lower
   * right, two neighbouring columns each. Small integers (`quantised`) lie as `fragments.ts` tells: the lanes' elements of several tiles
   * side by side make their 16 bytes.
   */
  readonly layout?: "rows" | "fragments";
  /**
   * The sources are stored as small integers (see `quantise.ts` for the layout of a row): this is one of a pair of weights over the same
   * sources, the whole numbers (`element` u32, `values`) or what they are multiplied by (`element` bf16, `scales`). `columns` counts the
   * columns of the sources.
   */
  readonly quantised?: {
    readonly bits: 4 | 8;
    /** Neighbouring columns that share a scale. */
    readonly group: 16 | 32 | 64 | 128;
    readonly part: "values" | "scales";
  };
  readonly sources: readonly {
    readonly tensor: string;
    /** Shape as the checkpoint must have it. */
    readonly shape: readonly number[];
    /** First packed row. */
    readonly row: number;
    /** Taken as zeros when the source is absent (a bias that some parts of a concatenation lack). */
    readonly zeros?: boolean;
  }[];
  /** Rows may be split over several buffers (a vocabulary table over the binding limit); steps that use it are repeated per part. */
  readonly splittable: boolean;
  /** Filled by `compile --weights`. */
  readonly packed?: readonly {
    readonly layer?: number;
    readonly file: string;
    readonly offset: number;
    readonly bytes: number;
    readonly sha256: string;
  }[];
}

/** How matrices are stored as small integers. */
export type Quantisation = Omit<NonNullable<WeightInfo["quantised"]>, "part">;

export interface KernelInfo {
  readonly name: string;
  readonly doc: string;
  readonly file: string;
  readonly entryPoint: string;
  readonly language: "wgsl" | "cuda";
  readonly sha256: string;
  readonly origin?: string;
  /**
   * In binding order. WGSL: @group(0) @binding(index), and the parameters come last, as a uniform buffer. CUDA: a pointer each, and
   * the parameters come last, as a struct by value.
   */
  readonly bindings: readonly {
    readonly name: string;
    readonly role: "activation" | "weight" | "cache" | "control" | "table" | "output";
    readonly element: Element;
    /** Elements per array entry in the kernel text: 1, 2 or 4. */
    readonly lanes: number;
    readonly access: "read" | "read_write";
  }[];
  /** Scalars of the parameters' struct, with byte offsets. */
  readonly parameters: readonly {
    readonly name: string;
    readonly type: "u32" | "i32" | "f32";
    readonly offset: number;
  }[];
  /** Bytes of the struct as a uniform buffer, a multiple of 16; 0 when there are no parameters. */
  readonly parameterBytes: number;
  readonly workgroupSize: readonly [number, number, number];
  readonly sharedMemoryBytes: number;
  readonly features: readonly string[];
}

/**
 * All kernels of a CUDA package, compiled. A loader takes the fat binary; where the driver refuses that, the PTX; where there is neither
 * or both are refused, it compiles the kernel files with NVRTC, which needs the headers.
 */
export interface ModulesInfo {
  /** Included by the kernel files, under their names in the kernels' folder. */
  readonly headers: readonly { readonly file: string; readonly sha256: string }[];
  /** Machine code for these architectures: `sm_80`. */
  readonly fatbin?: { readonly file: string; readonly sha256: string; readonly architectures: readonly string[] };
  /** For the virtual architecture `compute_80`, in the oldest version of the language that has what it uses. */
  readonly ptx?: {
    readonly file: string;
    readonly sha256: string;
    readonly architecture: string;
    readonly version: string;
  };
}

/** What a kernel's binding is bound to. */
export type BindingSource =
  | { readonly kind: "buffer"; readonly name: string }
  /** Per layer when the weight is. `previous`: of the layer before the one that runs; in a step after the layers, of the last. */
  | { readonly kind: "weight"; readonly name: string; readonly layer?: "previous" }
  | { readonly kind: "table"; readonly name: string }
  /** What the phase reads and writes keys of the group in: the layer's store, the shared step buffer, or the prefill scratch. */
  | { readonly kind: "keys"; readonly group: string }
  /** The layer's store itself, also in prefill (copying in and out of a ring). */
  | { readonly kind: "store"; readonly group: string }
  | { readonly kind: "control" }
  /** The decode phase's control buffer, also during prefill (sampling advances it). */
  | { readonly kind: "decode-control" };

export type SampleParameter = "temperature" | "topP" | "topK" | "seed";

export interface Step {
  readonly name: string;
  /** Gives row_base, row_count, tile_base and tile_count their values; absent for steps that are not about rows. */
  readonly rows?: "input" | "query" | "output";
  /** Executed only where this is not 0, e.g. copying a ring in when start > 0. */
  readonly when?: Expr;
  /** The first choice whose `when` is not 0 (or that has none) runs. */
  readonly choices: readonly {
    readonly when?: Expr;
    readonly kernel: string;
    readonly workgroups: readonly [Expr, Expr, Expr];
    /** Parameter name → value. A sampling parameter is given by the caller. */
    readonly parameters: Readonly<Record<string, Expr | { readonly sample: SampleParameter }>>;
  }[];
  /** Binding name of the kernel → what is bound. Equal for all choices. */
  readonly bindings: Readonly<Record<string, BindingSource>>;
  /**
   * Set when the step reads a splittable weight: the step is repeated for every part, with the symbols part_base (first row) and
   * part_rows.
   */
  readonly partsOf?: string;
  /** Source text it came from, `file:line`. */
  readonly origin?: string;
}

export interface Phase {
  readonly before: readonly Step[];
  /** Steps of a layer, per layer class. */
  readonly layer: readonly (readonly Step[])[];
  /** Layer → class. */
  readonly classOf: readonly number[];
  readonly after: readonly Step[];
}

export interface SelfTestInfo {
  readonly file: string;
  readonly seed: number;
  readonly parameters: Readonly<Record<string, number>>;
  readonly tolerance: number;
}
