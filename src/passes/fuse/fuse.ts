/**
 * Fewer, larger operations: each becomes about one dispatch.
 */
import type { Pass } from "../pass.js";
import { absorbMaps } from "./absorb-maps.js";
import { absorbNorms } from "./absorb-norms.js";
import { concatenateProducts } from "./concatenate-products.js";
import { finishKeys } from "./finish-keys.js";
import { mergeMaps } from "./merge-maps.js";
import { pairProducts } from "./pair-products.js";
import { selectKernelOps } from "./select-kernel-ops.js";

export const fuse: readonly Pass[] = [
  selectKernelOps,
  mergeMaps, // brings gate, activation and up together for pairing
  pairProducts, // before absorb-maps, which would give the activation to one of the two
  absorbMaps,
  finishKeys, // leaves the bare projections for concatenation
  concatenateProducts,
  absorbNorms, // last: reads that were separate are one by now
];
