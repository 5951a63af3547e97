/** An instruction of a kernel, as far as counting needs it. */
export interface Instruction {
  readonly kind: string;
  /** What a lane loads. */
  readonly bytes?: number;
  /** Of a load: whether it leaves no copy in the first-level cache. */
  readonly once?: boolean;
  /** Of a branch: the index of the instruction it goes to. */
  readonly target?: number;
}

export function readCubin(file: Buffer): ReadonlyMap<string, readonly Instruction[]>;
