/**
 * Parameters of kernels that change how fast they are and not what they compute.
 *
 * The defaults hold for every device and are what a package gets. `phdc tune` measures the others on a device that is there.
 */
export interface Tuning {
  /** Outputs that a workgroup of a skinny product computes for a row, over all its matrices. */
  readonly skinnyOutputs: number;
  /** Most rows of a block of the skinny product; more rows take several blocks, each of which reads the weights. */
  readonly skinnyRows: number;
  /** A skinny product of 8 or 16 rows gives a workgroup more columns, which share its inputs, while it keeps so many workgroups. */
  readonly leastWorkgroups: number;
  /** Up to so many rows blocks of the skinny product still beat a tile that is mostly empty. */
  readonly untiledRows: number;
  /** Invocations × outputs that a product of a few rows should have in flight: narrow products get larger workgroups for it. */
  readonly inFlight: number;
  /** Words of quantised weights that an invocation loads at once, times the rows of the block: more are under way, in more registers. */
  readonly loadedWords: number;
  /** Rows of a tile of the tiled product: more share each weight, in more registers. */
  readonly tileRows: number;
  /** Vectors of 4 inputs that a step of the tiled product brings into workgroup memory. */
  readonly tileDepth: number;
  /** Most rows of a query tile of attention. */
  readonly queryRows: number;
  /** Keys that one workgroup of decode attention takes: enough to hide that merging splits costs a pass. */
  readonly keysPerSplit: number;
}

export const defaultTuning: Tuning = {
  skinnyOutputs: 4,
  skinnyRows: 16,
  leastWorkgroups: 96,
  untiledRows: 32,
  inFlight: 2 ** 19,
  loadedWords: 8,
  tileRows: 64,
  tileDepth: 4,
  queryRows: 64,
  keysPerSplit: 256,
};

/** What each parameter may be, and what is tried, in the order in which it is: those that matter most come first. */
export const tuningValues: Readonly<Record<keyof Tuning, readonly number[]>> = {
  skinnyOutputs: [1, 2, 4, 8],
  inFlight: [2 ** 17, 2 ** 18, 2 ** 19, 2 ** 20, 2 ** 21],
  skinnyRows: [4, 8, 16],
  leastWorkgroups: [48, 96, 192, 2 ** 20],
  loadedWords: [4, 8, 16],
  untiledRows: [16, 32, 64],
  tileRows: [64, 128],
  tileDepth: [4, 8],
  queryRows: [8, 16, 32, 64],
  keysPerSplit: [64, 128, 256, 512],
};
