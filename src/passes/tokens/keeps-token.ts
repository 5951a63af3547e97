/** Which keys a layout still holds: the meaning of a layout, for those that follow single tokens. */
import { unreachable } from "../../diagnostics/diagnostic.js";
import type { Token } from "../../ir/relation/predicate.js";
import { copiesIn } from "../../runtime/key-group.js";
import type { KeyGroup } from "./group-tokens.js";
import type { RetentionLayout } from "./infer-retention.js";

/** Whether a store of this layout still holds the token's key after a step that ended at `positions`. */
export function keepsToken(layout: RetentionLayout, group: KeyGroup, { pos, copy }: Token, positions: number): boolean {
  const copies = copiesIn(group);
  const fromEnd = positions * copies - (pos * copies + copy - group.firstCopy);
  switch (layout.kind) {
    case "forever":
      return true;
    case "ring":
      return fromEnd <= layout.slots;
    case "ring-in-chunk":
      return fromEnd <= layout.slots && pos >= positions - (positions % layout.chunk);
    case "step":
    case "unread":
      return false;
    default:
      return unreachable(layout);
  }
}
