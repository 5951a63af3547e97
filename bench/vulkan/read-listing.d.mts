/** Loads of buffers by bytes per lane. */
export type LoadCounts = Readonly<Record<string, number>>;

/** A loop that holds no other. */
export interface ListedLoop {
  readonly instructions: number;
  readonly loads: LoadCounts;
  /** Most loads that are under way before the loop waits for one. */
  readonly inFlight: number;
  readonly multiplyAdds: number;
  readonly ldsReads: number;
  readonly branches: number;
}

export interface Listing {
  readonly vgprs: number;
  readonly sgprs: number;
  /** Registers of both kinds. */
  readonly spilled: number;
  readonly scratchBytes: number;
  readonly ldsBytes: number;
  readonly wavesPerSimd: number;
  readonly codeBytes: number;
  readonly latency: number;
  readonly inverseThroughput: number;
  readonly loads: LoadCounts;
  /** Those that load. */
  readonly loops: readonly ListedLoop[];
}

export function readListing(text: string): Listing;
