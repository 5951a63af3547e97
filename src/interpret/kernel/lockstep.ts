/** What the generated code needs where invocations meet. */
export function lockstep(
  size: number,
  subgroupSize: number,
  passBarrier: (buffers: boolean) => void,
  fail: (message: string) => never,
) {
  const any = (mask: Uint8Array) => mask.includes(1);
  return {
    any,
    barrier(mask: Uint8Array, what: string, buffers = false) {
      const missing = mask.indexOf(0);
      if (missing >= 0) fail(`${what}: invocation ${missing} does not reach it`);
      passBarrier(buffers);
    },
    wholeSubgroups(mask: Uint8Array, what: string) {
      for (let first = 0; first < size; first += subgroupSize) {
        const lanes = mask.subarray(first, Math.min(first + subgroupSize, size));
        if (any(lanes) && lanes.includes(0)) fail(`subgroup ${what}: only part of a subgroup takes part`);
      }
    },
    lane(source: number, own: number, what: string): number {
      const last = Math.min(own - (own % subgroupSize) + subgroupSize, size);
      return source < last ? source : fail(`subgroup ${what}: there is no lane ${source % subgroupSize}`);
    },
    /** Leaves the combination of each subgroup in all its lanes. */
    reduceSubgroups(values: Float64Array, width: number, combine: (a: number, b: number) => number) {
      for (let first = 0; first < size; first += subgroupSize) {
        const lanes = Math.min(subgroupSize, size - first);
        for (let component = 0; component < width; component++) {
          const at = (lane: number) => (first + lane) * width + component;
          for (let stride = 1; stride < lanes; stride *= 2) {
            for (let lane = 0; lane + stride < lanes; lane += 2 * stride) {
              values[at(lane)] = combine(values[at(lane)]!, values[at(lane + stride)]!);
            }
          }
          for (let lane = 1; lane < lanes; lane++) values[at(lane)] = values[at(0)]!;
        }
      }
    },
    agreement: (what: string) => ({
      value: Number.NaN,
      agree(value: number) {
        if (Number.isNaN(this.value)) this.value = value;
        else if (this.value !== value) fail(`${what} differs between invocations: ${this.value} and ${value}`);
      },
    }),
    loopBounds: (variable: string) => ({
      ...{ start: 0, end: 0, step: 1, known: false },
      agree(start: number, end: number, step: number) {
        if (this.known && (start !== this.start || end !== this.end || step !== this.step)) {
          fail(`the bounds of the loop over ${variable} differ between invocations, and they meet inside it`);
        }
        Object.assign(this, { start, end, step, known: true });
      },
    }),
  };
}
