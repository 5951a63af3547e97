/** What a kernel for a few rows is made for, and how its workgroups divide the work. */
import { wordsOfRow } from "../../runtime/quantise.js";
import { headVector } from "../attention/options.js";
import { defaultTuning } from "../tuning.js";
import { type LinearOptions, vectorWidth } from "./options.js";
import { wordsOfLoad } from "./quantised-weights.js";
import { halvesInWords } from "./weight-reader.js";

/** Block sizes that have a kernel; other numbers of rows are rounded up, and more than 16 take several blocks. */
export const skinnyRows = [1, 2, 4, 8, 16] as const;

export interface SkinnyShape extends LinearOptions {
  /** Rows of a block, M. */
  readonly rows: (typeof skinnyRows)[number];
}

export interface SkinnyLinearOptions extends SkinnyShape {
  /** The first column and the number of columns are always multiples of `skinnyColumns`, so no invocation stands on an edge. */
  readonly wholeBlocks: boolean;
}

/** Output columns of one invocation. More share an input load better, but 16 rows × 4 columns already fill the registers. */
export function skinnyColumns({
  matrices,
  tuning = defaultTuning,
}: Pick<LinearOptions, "matrices" | "tuning">): number {
  return Math.max(1, Math.floor(tuning.skinnyOutputs / matrices));
}

/** How a workgroup divides its work: each group of invocations has columns of its own, and its lanes share the inputs out. */
export interface SkinnyDivision {
  readonly groups: number;
  readonly lanes: number;
  /** Columns of the whole workgroup. */
  readonly columns: number;
}

export function skinnyDivision(options: SkinnyShape): SkinnyDivision {
  const groups = groupsOf(options);
  const { maxWorkgroupSize } = options.capabilities.limits;
  const lanes = groups > 1 ? sharedLanes(options, groups) : Math.min(lanesOfOneGroup(options), maxWorkgroupSize);
  return { groups, lanes, columns: groups * skinnyColumns(options) };
}

/** Fewer rows than this have few bytes of input for each of weights. */
const leastSharedRows = 8;
/** With more lanes, a turn would bring in few rows to multiply between two barriers. */
const mostSharedLanes = 64;
const leastSharedLanes = 8;
/** Invocations of a workgroup: more would wait for each other at barriers. */
const mostInvocations = 256;
/** Turns, partial sums, totals and factors of rows. */
const sharedMemory = 16384;

/**
 * One group reads its inputs from the buffer. From 8 rows on, these are more bytes than its weights, and come from caches that give a
 * few times what memory does. Several groups share what one of them loads: as many as leave enough workgroups for a large GPU.
 */
function groupsOf(options: SkinnyShape): number {
  const { outputs, rows, capabilities, tuning = defaultTuning } = options;
  const { maxWorkgroupSize, maxWorkgroupMemory } = capabilities.limits;
  if (rows < leastSharedRows || inputVector(options) !== 4 || maxWorkgroupMemory < sharedMemory) return 1;
  const fits = (groups: number) =>
    groups * skinnyColumns(options) * tuning.leastWorkgroups <= outputs &&
    groups * leastSharedLanes <= maxWorkgroupSize;
  return [8, 4, 2].find(fits) ?? 1;
}

function sharedLanes(options: SkinnyShape, groups: number): number {
  const blocks = blocksOfRow(options);
  let lanes = Math.min(mostSharedLanes, mostInvocations / groups);
  while (
    lanes > leastSharedLanes &&
    (lanes > blocks || lanes * groups > options.capabilities.limits.maxWorkgroupSize)
  ) {
    lanes /= 2;
  }
  return lanes;
}

/**
 * A large GPU needs some megabytes of loads under way to use its bandwidth. Every invocation has one load per column in flight, so
 * narrow outputs take larger workgroups; no workgroup is larger than a row of weights has loads.
 */
function lanesOfOneGroup(options: SkinnyShape): number {
  const { outputs, matrices, tuning = defaultTuning } = options;
  const blocks = blocksOfRow(options);
  const wanted = tuning.inFlight / (outputs * matrices);
  let lanes = 64;
  while (lanes < wanted && lanes < 256) lanes *= 2;
  while (lanes > 32 && lanes > blocks) lanes /= 2;
  return lanes;
}

/** Loads of a row of weights. */
function blocksOfRow(options: SkinnyShape): number {
  const { inputs, quantised } = options;
  if (quantised) return wordsOfRow(inputs, quantised.bits) / wordsOf(options);
  return wordsOf(options) === 4 ? inputs / 8 : inputs / inputVector(options);
}

/** With more rows than this, eight weights of each column beside the inputs of all rows leave too few registers. */
const mostRowsOfHalves = 8;

/** Words of one load, where weights are read by words. */
export function wordsOf(options: SkinnyShape): 1 | 2 | 4 {
  const { inputs, quantised, rows, tuning = defaultTuning } = options;
  if (quantised) return wordsOfLoad(inputs, quantised, Math.floor(tuning.loadedWords / rows));
  const inRegisters = rows <= mostRowsOfHalves || groupsOf(options) > 1;
  return inRegisters && halvesInWords(options, inputVector(options)) ? 4 : 1;
}

/** Elements of one load of the input. Attention's splits are laid out by head, so a vector may not straddle two heads there. */
export function inputVector({ inputs, merge }: LinearOptions): 1 | 2 | 4 {
  return merge ? headVector(merge.width) : vectorWidth(inputs);
}
