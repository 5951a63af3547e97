import { cellOfA, cellOfB, cellOfC, cellOfLoad, fragmentLanes, productShape } from "../../ir/kernel/fragments.js";

/** What the generated code needs for matrix fragments: products and loads over subgroups of 32 lanes. */
export function matrixUnit(size: number, subgroupSize: number, fail: (message: string) => never) {
  const { rows, columns, depth } = productShape;
  const eachSubgroup = (body: (first: number) => void) => {
    if (subgroupSize !== fragmentLanes || size % fragmentLanes !== 0) {
      fail(`matrix fragments need subgroups of ${fragmentLanes}, not ${subgroupSize} in a workgroup of ${size}`);
    }
    for (let first = 0; first < size; first += fragmentLanes) body(first);
  };
  return {
    /** d = a × b + c. Products are summed exactly and rounded once, which is at least as good as any matrix unit. */
    mma(d: Float32Array, a: Float64Array, b: Float64Array, c: Float64Array, valueOfBits: Float32Array) {
      const left = new Float64Array(rows * depth);
      const right = new Float64Array(depth * columns);
      const half = (words: Float64Array, word: number, odd: number) =>
        valueOfBits[(words[word]! >>> (16 * odd)) & 0xffff]!;
      eachSubgroup((first) => {
        for (let lane = 0; lane < fragmentLanes; lane++) {
          const t = first + lane;
          for (let i = 0; i < 8; i++) {
            const { row, column } = cellOfA(lane, i);
            left[row * depth + column] = half(a, t * 4 + (i >> 1), i & 1);
          }
          for (let i = 0; i < 4; i++) {
            const { row, column } = cellOfB(lane, i);
            right[row * columns + column] = half(b, t * 2 + (i >> 1), i & 1);
          }
        }
        for (let lane = 0; lane < fragmentLanes; lane++) {
          for (let i = 0; i < 4; i++) {
            const { row, column } = cellOfC(lane, i);
            let sum = c[(first + lane) * 4 + i]!;
            for (let k = 0; k < depth; k++) sum += left[row * depth + k]! * right[k * columns + column]!;
            d[(first + lane) * 4 + i] = sum;
          }
        }
      });
    },
    /** `rowPlaces` holds for each lane where its row of eight halves begins, in words. */
    matrixLoad(
      loaded: Uint32Array,
      memory: Uint32Array,
      rowPlaces: Float64Array,
      matrices: number,
      transposed: boolean,
    ) {
      eachSubgroup((first) => {
        for (let lane = 0; lane < fragmentLanes; lane++) {
          for (let matrix = 0; matrix < matrices; matrix++) {
            const half = (i: number) => {
              const { row, column } = cellOfLoad(lane, i, transposed);
              const word = memory[rowPlaces[first + matrix * 8 + row]! + (column >> 1)]!;
              return (word >>> (16 * (column & 1))) & 0xffff;
            };
            loaded[(first + lane) * matrices + matrix] = (half(0) | (half(1) << 16)) >>> 0;
          }
        }
      });
    },
  };
}

/** Copies under way, by invocation: they take effect when they are waited for, the oldest group first. */
export class PendingCopies {
  private readonly open: (() => void)[][];
  private readonly groups: (() => void)[][][];

  constructor(size: number) {
    this.open = Array.from({ length: size }, () => []);
    this.groups = Array.from({ length: size }, () => []);
  }

  start(invocation: number, copy: () => void): void {
    this.open[invocation]!.push(copy);
  }

  commit(invocation: number): void {
    this.groups[invocation]!.push(this.open[invocation]!);
    this.open[invocation] = [];
  }

  wait(invocation: number, pending: number): void {
    const groups = this.groups[invocation]!;
    while (groups.length > pending) for (const copy of groups.shift()!) copy();
  }

  /** Copies of one workgroup never reach the next. */
  drop(): void {
    for (const invocation of this.open.keys()) {
      this.open[invocation] = [];
      this.groups[invocation] = [];
    }
  }
}
