/**
 * The passes in order, from the lowered graph to the one that kernels are scheduled from.
 */
import { fuse } from "./fuse/fuse.js";
import type { Pass } from "./pass.js";
import { simplify } from "./simplify/simplify.js";
import { annotateRows } from "./tokens/annotate-rows.js";
import { buildMasks } from "./tokens/build-masks.js";
import { repeatTokens } from "./tokens/repeat-tokens.js";
import { splitAttention } from "./tokens/split-attention.js";

/** The high-level half: the meaning of the model, brought to one form. */
export const tokenPipeline: readonly Pass[] = [
  repeatTokens,
  ...simplify, // removes what repeat-tokens left behind, and makes layers alike that were written differently
  buildMasks,
  splitAttention, // needs the relation in normal form: its bounds go into kernels
  annotateRows, // after simplify: merging equal operations could widen the rows of one of them
];

export const graphPipeline: readonly Pass[] = [
  ...tokenPipeline,
  ...fuse, // keeps operations apart that different rows need, so it comes after annotate-rows
];
