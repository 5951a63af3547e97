/** How much is measured. */
export interface Effort {
  /** Rounds, each of which takes one measurement of every figure. */
  readonly repeat: number;
  /** Steps of one measurement of decode. */
  readonly steps: number;
  /** Whether kernels are timed one by one. */
  readonly kernels: boolean;
  /** Milliseconds that a measurement of a kernel takes at least. */
  readonly leastMs: number;
  /** Milliseconds that all measurements of a kernel take, about, at most. */
  readonly mostMs: number;
  /** Of the weights and the prompt. */
  readonly seed: number;
}

/** Steps that go before the first that counts. */
export const warmUpSteps = 3;
/** Steps whose heap is looked at. */
export const heapSteps = 9;
