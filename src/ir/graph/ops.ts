/**
 * The graph IR: what a model computes, as SSA operations on tensors.
 *
 * A graph describes **one sequence**. The leading dimension of an activation is `positions` (one row per position) or `tokens`
 * (one row per copy of every position: tokens = positions × K); batches and phases enter later, through the row table. All other
 * dimensions are numbers: the model's parameters are known when it is compiled.
 *
 * Stages, and what holds after each:
 *   lower           high-level operations only; attention names a predicate by index; tensors stand over positions or tokens
 *   repeat-tokens   everything between `embed` and the head stands over tokens: `repeat-tokens` directly follows an `embed`, and
 *                   `select-copy` stands as early as possible after the layers (also when K = 1)
 *   build-masks     every attention carries its relation in normal form
 *   group-tokens    every attention lists its parts, one per key group, with bounds
 *   simplify        no dead operation, no two equal ones
 *   derive-phases   every operation says in which rows of a layer it is needed
 *   fuse            only operations that one kernel family carries out: embed, fused-linear, norm, map, rotate, store-keys,
 *                   cached-attention; `select-copy` stays as the border between the rows of the layers and the predicted rows
 *                   (it moves nothing: the row table ends in the predicting rows)
 */
import type { KeyGroupMembers } from "../../runtime/key-group.js";
import type { Span } from "../../source/source-file.js";
import type { Expr } from "../expr.js";
import type { Predicate } from "../relation/predicate.js";

export type ValueId = number;

/** `positions` and `tokens` are the two row axes; numbers are sizes. */
export type Dim = "positions" | "tokens" | number;

export interface TensorType {
  /** `int` is 32 bits; `float` is the model's arithmetic (float64 in the interpreter, what the target picks in kernels). */
  readonly element: "float" | "int";
  readonly shape: readonly Dim[];
}

export interface Value {
  readonly id: ValueId;
  /** A name from the model (`scores`), unique in its graph; printers use it. */
  readonly name: string;
  readonly type: TensorType;
}

interface OpBase {
  /** What the operation defines; `layers` defines one value per carried value. */
  readonly results: readonly Value[];
  /** The source text it came from; a rewrite copies it. */
  readonly origin?: Span;
  /** Set by derive-phases: the rows of the layer that need this operation. */
  readonly rows?: RowClass;
}

/**
 * Which rows of a layer an operation computes.
 *
 * `input`: rows that enter the layer (their key and value, or their query, is needed). `query`: rows that leave it.
 * `output`: the rows that are predicted from, one per sequence.
 */
export type RowClass = "input" | "query" | "output";

/** The ids of one sequence: int [positions]. */
export interface Input extends OpBase {
  readonly kind: "input";
}

/**
 * A tensor of the checkpoint. In a layer body, `{l}` in the name stands for the layer index.
 */
export interface Weight extends OpBase {
  readonly kind: "weight";
  /** Full tensor name, e.g. `model.layers.{l}.self_attn.q_proj.weight`. */
  readonly tensor: string;
}

/** Rows of `table` [vocab, width] picked by `ids` [positions] → [positions, width]. */
export interface Embed extends OpBase {
  readonly kind: "embed";
  readonly ids: ValueId;
  readonly table: ValueId;
  /** Set by fuse, which lets the row table repeat the tokens: the result is [tokens, width]. */
  readonly copies?: number;
}

/**
 * Repeats every position `copies` times (K in the paper): [positions, …] → [tokens, …].
 *
 * Copy 1 is the original token, copies 2..K are hidden decoding tokens.
 */
export interface RepeatTokens extends OpBase {
  readonly kind: "repeat-tokens";
  readonly input: ValueId;
  readonly copies: number;
}

/** Keeps one copy (1..K) of every position: [tokens, …] → [positions, …]. */
export interface SelectCopy extends OpBase {
  readonly kind: "select-copy";
  readonly input: ValueId;
  readonly copy: number;
}

/** input [rows…, in] · weightᵀ [out, in] + bias [out] → [rows…, out]. */
export interface Linear extends OpBase {
  readonly kind: "linear";
  readonly input: ValueId;
  readonly weight: ValueId;
  readonly bias?: ValueId;
}

/** x / sqrt(mean(x²) + epsilon) · weight over the last dimension. */
export interface RmsNorm extends OpBase {
  readonly kind: "rms-norm";
  readonly input: ValueId;
  readonly weight?: ValueId;
  readonly epsilon: number;
}

/** [rows, heads × width] → [rows, heads, width]. */
export interface SplitHeads extends OpBase {
  readonly kind: "split-heads";
  readonly input: ValueId;
  readonly heads: number;
}

/** [rows, heads, width] → [rows, heads × width]. */
export interface MergeHeads extends OpBase {
  readonly kind: "merge-heads";
  readonly input: ValueId;
}

/**
 * How heads are turned: pair i of a token by the angle `(byPos(pos) + byCopy(copy)) · frequencies[i]` radians, so tables over
 * positions and over copies suffice (the sum of angles is applied by the addition theorem).
 */
export interface Rotation {
  /** width / 2 inverse frequencies, float64. */
  readonly frequencies: readonly number[];
  readonly index: RopeIndex;
  /** Multiplies cos and sin; 1 for all scalings but those that also scale attention. */
  readonly amplitude: number;
}

/** Rotary position embedding by halves (`x[:d/2]`, `x[d/2:]`), as Hugging Face lays it out. */
export interface Rope extends OpBase, Rotation {
  readonly kind: "rope";
  /** [rows, heads, width]; width is even. */
  readonly input: ValueId;
}

export interface RopeIndex {
  /** In the symbol `pos`. */
  readonly byPos: Expr;
  /** In the symbol `copy` (1..K). */
  readonly byCopy: Expr;
}

/**
 * Softmax attention under the model's predicate, grouped queries allowed:
 * query [tokens, heads, width], key and value [tokens, kvHeads, width] → [tokens, heads, width].
 */
export interface Attention extends OpBase {
  readonly kind: "attention";
  readonly query: ValueId;
  readonly key: ValueId;
  readonly value: ValueId;
  /** Index into the graph's `attends`. */
  readonly attend: number;
  /** Scores are multiplied by this; usually 1/sqrt(width). */
  readonly scale: number;
}

export type UnaryFunction = "silu" | "gelu-tanh" | "relu" | "sigmoid" | "tanh" | "negate";
export interface Unary extends OpBase {
  readonly kind: "unary";
  readonly function: UnaryFunction;
  readonly input: ValueId;
}

export type BinaryFunction = "add" | "subtract" | "multiply";
/** Elementwise on equal shapes; the right operand may also be a vector over the last dimension. */
export interface Binary extends OpBase {
  readonly kind: "binary";
  readonly function: BinaryFunction;
  readonly left: ValueId;
  readonly right: ValueId;
}

/** input · factor + offset. */
export interface ScaleOp extends OpBase {
  readonly kind: "scale";
  readonly input: ValueId;
  readonly factor: number;
  readonly offset: number;
}

/**
 * The layer loop. Stays a loop: one body per *class* of layers (layers whose `if`s on the index resolve alike), never one per layer.
 */
export interface Layers extends OpBase {
  readonly kind: "layers";
  readonly count: number;
  /** Values that enter layer 0; `results` are what leaves the last layer, in the same order. */
  readonly inputs: readonly ValueId[];
  readonly classes: readonly LayerClass[];
  /** Layer index → index into `classes`. */
  readonly classOf: readonly number[];
}

export interface LayerClass {
  /** For people: `every layer`, or the condition, e.g. `l mod 4 == 3`. */
  readonly name: string;
  readonly body: Block;
}

export interface Block {
  /** The carried values as seen inside. */
  readonly args: readonly Value[];
  readonly ops: readonly Op[];
  readonly yields: readonly ValueId[];
}

// ── After fuse ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** An elementwise expression over the accumulators of a fused operation and over whole tensors of the same row and column. */
export type ElementExpr =
  /** Result j of the matrix products (fused-linear), or undefined in `map`. */
  | { readonly kind: "accumulator"; readonly index: number }
  /** Same row and column of a value of shape [rows, width], or the column of a vector; a vector shorter than the row repeats. */
  | { readonly kind: "operand"; readonly value: ValueId }
  | { readonly kind: "unary"; readonly function: UnaryFunction; readonly input: ElementExpr }
  | {
      readonly kind: "binary";
      readonly function: BinaryFunction;
      readonly left: ElementExpr;
      readonly right: ElementExpr;
    }
  | { readonly kind: "scale"; readonly input: ElementExpr; readonly factor: number; readonly offset: number };

/** RMS norm applied to a row of the input before it is multiplied. */
export interface NormPrologue {
  readonly weight?: ValueId;
  readonly epsilon: number;
}

/**
 * One pass over one or more weight matrices with the same input: optional norm of the input row, products, elementwise epilogue.
 *
 * `concatenate`: outputs stand side by side, [rows, Σ out]; the epilogue sees accumulator 0 of its column.
 * `pair`: all matrices have the same shape and the epilogue combines accumulator j of each (SwiGLU).
 */
export interface FusedLinear extends OpBase {
  readonly kind: "fused-linear";
  /** [rows, in]; the result of `cached-attention` may be taken unmerged (see there). */
  readonly input: ValueId;
  readonly norm?: NormPrologue;
  readonly weights: readonly ValueId[];
  readonly biases: readonly (ValueId | undefined)[];
  readonly combine: "concatenate" | "pair";
  readonly epilogue: ElementExpr;
  /** Per weight of a concatenation: the rows that need these columns (the query columns of a last layer are needed in few rows). */
  readonly columnRows?: readonly RowClass[];
}

/** A norm that no product absorbs; `epilogue` sees the normed element as accumulator 0 (a residual may be added there). */
export interface NormOp extends OpBase {
  readonly kind: "norm";
  /** [rows, width]. */
  readonly input: ValueId;
  /** The row is normed in this many equal parts, each by itself (a norm per head); 1 when absent. `weight` is as long as a part. */
  readonly heads?: number;
  readonly weight?: ValueId;
  readonly epsilon: number;
  readonly epilogue: ElementExpr;
}

/** Elementwise work that nothing absorbs: [rows, width]. */
export interface MapOp extends OpBase {
  readonly kind: "map";
  readonly expression: ElementExpr;
}

/** Rotation of heads that `store-keys` does not absorb (something happens between it and attention): [rows, heads × width]. */
export interface RotateOp extends OpBase, Rotation {
  readonly kind: "rotate";
  readonly input: ValueId;
  readonly heads: number;
}

/** Columns [offset, offset + heads × width) of a value [rows, stride]. */
export interface HeadSlice {
  readonly value: ValueId;
  readonly offset: number;
  readonly heads: number;
}

export interface HeadNorm {
  readonly weight: ValueId;
  readonly epsilon: number;
  /** Normed over each head's width, or over all heads of the slice at once. */
  readonly over: "head" | "row";
}

/**
 * Finishes queries and keys (norm, rotation) and writes keys and values to the caches of the layer → query [rows, heads × width].
 *
 * Explicit state: `kv` names the layer's caches, which `cached-attention` reads.
 */
export interface StoreKeys extends OpBase {
  readonly kind: "store-keys";
  readonly query: HeadSlice;
  readonly key: HeadSlice;
  readonly value: HeadSlice;
  readonly width: number;
  readonly queryNorm?: HeadNorm;
  readonly keyNorm?: HeadNorm;
  readonly queryRope?: Rotation;
  readonly keyRope?: Rotation;
  readonly attend: number;
}

/** Attention over the layer's caches, after `store-keys`: query [rows, heads × width] → [rows, heads × width]. */
export interface CachedAttention extends OpBase {
  readonly kind: "cached-attention";
  readonly query: ValueId;
  readonly heads: number;
  readonly kvHeads: number;
  readonly width: number;
  readonly attend: number;
  readonly scale: number;
}

export type Op =
  | Input
  | Weight
  | Embed
  | RepeatTokens
  | SelectCopy
  | Linear
  | RmsNorm
  | SplitHeads
  | MergeHeads
  | Rope
  | Attention
  | Unary
  | Binary
  | ScaleOp
  | Layers
  | FusedLinear
  | NormOp
  | MapOp
  | RotateOp
  | StoreKeys
  | CachedAttention;

export type OpKind = Op["kind"];

/** One `attend` of the model: the predicate, and after group-tokens what was derived from it. */
export interface Attend {
  /** As the model states it; in normal form after build-masks. */
  readonly predicate: Predicate;
  /** Set by build-masks: as it was written, with spans. The same relation as `predicate`; explanations point into it. */
  readonly stated?: Predicate;
  readonly origin?: Span;
  /** Set by group-tokens: one part per key group, in the order of the graph's `groups`. */
  readonly parts?: readonly AttendPart[];
}

/** The keys of one group that a query may see. */
export interface AttendPart {
  readonly group: string;
  /** `empty`: no query sees a key of the group. `dense`: bounds alone decide. `ranged`: inside the bounds the predicate decides. */
  readonly density: "empty" | "dense" | "ranged";
  /** First and one past the last index of the group (pos × copies in group + copy - first copy), in `q_pos`, `q_copy`. */
  readonly lo: Expr;
  readonly hi: Expr;
}

/** Tokens whose keys are stored together: a run of copies, at all positions or at those of an interval. */
export interface KeyGroup extends KeyGroupMembers {
  readonly name: string;
}

export interface Graph {
  readonly name: string;
  /** The model's parameters, for people and for the manifest. */
  readonly parameters: Readonly<Record<string, number>>;
  /** K: how often every position is repeated; 1 when the model does not repeat. */
  readonly copies: number;
  /** The copy that predicts; usually K. */
  readonly predictCopy: number;
  readonly attends: readonly Attend[];
  /** Set by group-tokens. */
  readonly groups?: readonly KeyGroup[];
  readonly body: Block;
  readonly origin?: Span;
}
