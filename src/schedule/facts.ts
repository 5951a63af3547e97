/** What the analyses found and the schedule builds on. */
import type { RowRules } from "../runtime/manifest.js";

/** How long the keys of one group are kept in one layer (see `KeyStore` in the manifest for what each layout means). */
export interface KeyRetention {
  readonly layout: "forever" | "ring" | "step" | "unread";
  /** Keys that outlive a step; 0 but in a ring. */
  readonly keep: number;
  /** For ring: keys of an earlier chunk of this many positions are dead. */
  readonly chunk?: number;
}

export interface ScheduleFacts {
  /** `retention[layer][group]`, groups in the order of the graph. */
  readonly retention: readonly (readonly KeyRetention[])[];
  readonly rows: Omit<RowRules, "tileRows">;
}
