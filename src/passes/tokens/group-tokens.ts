import type { AttentionSystem } from "./attention-system.js";

/** Copies that are kept and visited together: an interval of copies. The groups of a model partition 1 … K. */
export interface KeyGroup {
  readonly name: string;
  readonly firstCopy: number;
  /** Inclusive. */
  readonly lastCopy: number;
}

/** Originals (copy 1) and hidden tokens (copies 2 … K). */
export function groupTokens({ copies }: AttentionSystem): KeyGroup[] {
  const originals: KeyGroup = { name: "originals", firstCopy: 1, lastCopy: 1 };
  return copies === 1 ? [originals] : [originals, { name: "hidden", firstCopy: 2, lastCopy: copies }];
}
