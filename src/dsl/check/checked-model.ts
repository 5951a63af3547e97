/**
 * What the checker hands to lowering: a model in which everything is known.
 *
 * Functions are inlined, `if`s are resolved, parameters have values, rules have become closed predicates, and every tensor has a
 * shape in the model's own words. Operations refer to each other as objects and stand in the order of evaluation; lowering gives
 * them ids and plain sizes.
 */
import type { Predicate, Term } from "../../ir/relation/predicate.js";
import type { SourceFile, Span } from "../../source/source-file.js";
import type { Size } from "./size.js";

/** A token axis or a size. */
export type Dim =
  | { readonly kind: "axis"; readonly name: "positions" | "tokens" }
  | { readonly kind: "size"; readonly size: Size };

export interface TensorType {
  readonly element: "float" | "int";
  readonly dims: readonly Dim[];
}

interface OpBase {
  readonly type: TensorType;
  /** The text that made it, for origins and messages. */
  readonly span: Span;
}

/** The ids that `forward` receives. */
export interface InputOp extends OpBase {
  readonly kind: "input";
}

/** A tensor of the checkpoint; `{l}` in the name stands for the layer index. */
export interface WeightOp extends OpBase {
  readonly kind: "weight";
  readonly tensor: string;
}

export interface EmbedOp extends OpBase {
  readonly kind: "embed";
  readonly ids: CheckedOp;
  readonly table: CheckedOp;
}

/** [positions, …] → [tokens, …]. */
export interface RepeatOp extends OpBase {
  readonly kind: "repeat";
  readonly input: CheckedOp;
}

export interface LinearOp extends OpBase {
  readonly kind: "linear";
  readonly input: CheckedOp;
  readonly weight: CheckedOp;
  readonly bias?: CheckedOp;
}

export interface RmsNormOp extends OpBase {
  readonly kind: "rms-norm";
  readonly input: CheckedOp;
  readonly weight?: CheckedOp;
  readonly epsilon: number;
}

export interface SplitOp extends OpBase {
  readonly kind: "split";
  readonly input: CheckedOp;
  readonly heads: number;
}

export interface MergeOp extends OpBase {
  readonly kind: "merge";
  readonly input: CheckedOp;
}

export interface RopeOp extends OpBase {
  readonly kind: "rope";
  readonly input: CheckedOp;
  /** The index of a token, written over its position as `q.pos` and its copy as `q.copy`. */
  readonly index: Term;
  /** Radians per index for each pair of components. */
  readonly frequencies: readonly number[];
}

export interface AttentionOp extends OpBase {
  readonly kind: "attention";
  readonly query: CheckedOp;
  readonly key: CheckedOp;
  readonly value: CheckedOp;
  readonly attend: CheckedAttend;
  readonly scale: number;
}

export interface UnaryOp extends OpBase {
  readonly kind: "unary";
  readonly function: "silu" | "gelu-tanh" | "relu" | "sigmoid" | "tanh" | "negate";
  readonly input: CheckedOp;
}

/** Elementwise; the right side may be a vector over the last dimension. */
export interface BinaryOp extends OpBase {
  readonly kind: "binary";
  readonly function: "add" | "subtract" | "multiply";
  readonly left: CheckedOp;
  readonly right: CheckedOp;
}

/** input * factor + offset. */
export interface ScaleOp extends OpBase {
  readonly kind: "scale";
  readonly input: CheckedOp;
  readonly factor: number;
  readonly offset: number;
}

/** A `var` of the surrounding block as a layer finds it. */
export interface CarriedOp extends OpBase {
  readonly kind: "carried";
  readonly name: string;
}

/** What the last layer leaves in a `var`. */
export interface LoopResultOp extends OpBase {
  readonly kind: "loop-result";
  readonly loop: LayersOp;
  readonly index: number;
}

/** The layer loop. Its values are its `loop-result`s; it has none of its own. */
export interface LayersOp {
  readonly kind: "layers";
  readonly span: Span;
  readonly count: number;
  /** The variables that layers pass on, as they enter layer 0. */
  readonly inputs: readonly CheckedOp[];
  readonly classes: readonly CheckedLayerClass[];
  /** Layer index to index into `classes`. */
  readonly classOf: readonly number[];
}

/** Layers whose `if`s on the index resolve alike share one body. */
export interface CheckedLayerClass {
  /** `every layer`, or the conditions that lead here: `l mod 4 == 3`. */
  readonly name: string;
  readonly carried: readonly CarriedOp[];
  readonly body: CheckedBody;
  /** In the order of `carried`. */
  readonly yields: readonly CheckedOp[];
}

export type CheckedOp =
  | InputOp
  | WeightOp
  | EmbedOp
  | RepeatOp
  | LinearOp
  | RmsNormOp
  | SplitOp
  | MergeOp
  | RopeOp
  | AttentionOp
  | UnaryOp
  | BinaryOp
  | ScaleOp
  | CarriedOp
  | LoopResultOp;

export interface CheckedBody {
  /** In the order of evaluation; a layer loop stands before its results. */
  readonly ops: readonly (CheckedOp | LayersOp)[];
  /** What `let` and `var` call them. */
  readonly names: ReadonlyMap<CheckedOp, string>;
}

export interface CheckedAttend {
  readonly predicate: Predicate;
  /** The `attend` statement. */
  readonly span: Span;
}

export interface CheckedParam {
  readonly name: string;
  readonly value: number | string | boolean;
  readonly span: Span;
}

export interface CheckedModel {
  readonly name: string;
  readonly source: SourceFile;
  readonly span: Span;
  readonly params: readonly CheckedParam[];
  /** K; 1 where the model does not say `repeat`. */
  readonly copies: number;
  /** The copy that predicts. */
  readonly predictCopy: number;
  readonly body: CheckedBody;
  /** The logits of every token; those of copy `predictCopy` are the result. */
  readonly logits: CheckedOp;
}
