/** No identity, no two equal operations, no dead one. */
import type { Pass } from "../pass.js";
import { dropUnusedOps } from "./drop-unused-ops.js";
import { foldConstants } from "./fold-constants.js";
import { mergeEqualOps } from "./merge-equal-ops.js";

export const simplify: readonly Pass[] = [
  foldConstants,
  mergeEqualOps, // folding makes equal what was written differently
  dropUnusedOps,
];
