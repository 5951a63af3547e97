/** What a `config.json` says about a model, understood and checked: the facts that its `.phd` text states. */
import type { SourceFile } from "../source/source-file.js";

export const architectures = ["llama", "qwen2", "qwen3", "olmo2"] as const;
export type Architecture = (typeof architectures)[number];

export const variants = ["vanilla", "naive", "phd", "phd-swa", "phd-cswa"] as const;
export type Variant = (typeof variants)[number];

export const windowUnits = ["tokens", "positions"] as const;
export type WindowUnit = (typeof windowUnits)[number];

export const positionRules = ["shared", "interleaved"] as const;
export type PositionRule = (typeof positionRules)[number];

export interface ModelConfig {
  readonly architecture: Architecture;
  readonly vocab: number;
  readonly layers: number;
  readonly dim: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly ffn: number;
  readonly epsilon: number;
  /** The longest text the checkpoint was made for; a remark, not a limit. */
  readonly maxPositions: number | undefined;
  readonly rope: RopeConfig;
  /** The output projection is the embedding table. */
  readonly tied: boolean;
  /** Biases on the query, key, value and output projections, where the architecture leaves the choice. */
  readonly attentionBias: boolean;
  /** Biases on the three feed-forward projections. */
  readonly mlpBias: boolean;
  /** Sliding-window attention of the base model. */
  readonly sliding: SlidingConfig | undefined;
}

export interface RopeConfig {
  readonly theta: number;
  readonly scaling: RopeScaling;
}

export type RopeScaling =
  | { readonly kind: "none" }
  | { readonly kind: "linear"; readonly factor: number }
  | {
      readonly kind: "llama3";
      readonly factor: number;
      readonly lowFactor: number;
      readonly highFactor: number;
      /** Positions of the original training. */
      readonly originalPositions: number;
    };

export interface SlidingConfig {
  /** A query sees keys less than this many positions back. */
  readonly window: number;
  /** Per layer, whether the window applies. */
  readonly layers: readonly boolean[];
}

/** Who sees whom: a variant of the library, or a predicate of the user's own. */
export type AttendConfig =
  | { readonly kind: "vanilla" }
  | { readonly kind: "naive" }
  | { readonly kind: "phd" }
  | { readonly kind: "phd-swa"; readonly window: number; readonly unit: WindowUnit }
  | { readonly kind: "phd-cswa"; readonly window: number; readonly unit: WindowUnit; readonly chunk: number }
  | { readonly kind: "predicate"; readonly text: SourceFile };

export interface PhdConfig {
  readonly attend: AttendConfig;
  /** K. */
  readonly repeat: number;
  readonly positions: PositionRule;
}
