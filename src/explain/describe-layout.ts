import type { RetentionLayout } from "../passes/tokens/infer-retention.js";

/** How long keys are kept, in words. */
export function describeLayout(layout: RetentionLayout): string {
  switch (layout.kind) {
    case "forever":
      return "for ever";
    case "ring":
      return `ring of ${layout.slots}`;
    case "ring-in-chunk":
      return `ring of ${layout.slots} in chunk of ${layout.chunk}`;
    case "step":
      return "within a step";
    case "unread":
      return "never read";
  }
}
