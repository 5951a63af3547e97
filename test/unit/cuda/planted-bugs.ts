/** Bugs of the kinds that kernels have, each planted into the text of a kernel that is right. */
import { emitCuda } from "../../../src/backends/cuda/module.js";
import { buildKernel } from "../../../src/ir/kernel/builder.js";
import { roundToBfloat } from "../../../src/ir/kernel/half.js";
import type { Kernel } from "../../../src/ir/kernel/kernel.js";
import { addBias, rmsNorm } from "../kernel-ir/example-kernels.js";
import { bf16Product, packFragments, packPairs, stagedProduct } from "../kernel-ir/matrix-kernels.js";
import { controlConstructs } from "../wgsl/construct-kernels.js";
import { warpConstructs } from "./construct-kernels.js";
import type { EmulatedRun } from "./emulator.js";

export interface PlantedBug {
  readonly about: string;
  readonly kernel: Kernel;
  /** What is replaced in the text, once, and by what. */
  readonly from: string | RegExp;
  readonly to: string;
  /** What the report says, or that the results are wrong. */
  readonly caught: RegExp | "by numbers";
}

const floats = (length: number, scale = 2) => Float32Array.from({ length }, (_, i) => Math.sin(i * 2.3 + 1) * scale);
const bfloats = (length: number) => floats(length).map(roundToBfloat);

const norm = rmsNorm({});
const warpNorm = { ...rmsNorm({ subgroups: { minSize: 32, maxSize: 32 } }), name: "rms_norm_by_warps" };
const [depth, outputs] = [48, 64];

/** Loads weights before the kernel before it has ended, and everything else afterwards. */
const eager = buildKernel(
  "scale_rows",
  { doc: "Multiplies rows of x with weight.", dispatch: "one workgroup per row", workgroupSize: 32 },
  (k) => {
    const weight = k.read("weight", "f32", "weight");
    const x = k.readWrite("x", "f32");
    const gain = k.let("gain", weight.at(k.localId));
    k.awaitPrevious();
    k.releaseNext();
    x.set(k.globalId, x.at(k.globalId).mul(gain));
  },
);

/** What each kernel runs on; new arrays in every call. */
export const runs: ReadonlyMap<Kernel, () => EmulatedRun> = new Map<Kernel, () => EmulatedRun>([
  [
    addBias(),
    () => ({ buffers: { x: floats(63), bias: floats(7) }, params: { rows: 9, width: 7 }, workgroups: [1, 1, 1] }),
  ],
  ...[norm, warpNorm].map(
    (kernel) =>
      [
        kernel,
        () => ({
          buffers: { x: floats(3 * 280), weight: floats(280), y: new Float32Array(3 * 280) },
          params: { width: 280, epsilon: 1e-5 },
          workgroups: [3, 1, 1] as const,
        }),
      ] as const,
  ),
  [
    bf16Product(),
    () => ({
      buffers: {
        weights: packFragments(bfloats(outputs * depth), outputs, depth),
        x: packPairs(bfloats(8 * depth)),
        y: new Float32Array(8 * outputs),
      },
      params: { depth, outputs },
      workgroups: [1, 1, 1],
    }),
  ],
  [
    stagedProduct(),
    () => ({
      buffers: {
        weights: packPairs(bfloats(16 * depth)),
        x: packPairs(bfloats(8 * depth)),
        y: new Float32Array(8 * 16),
      },
      params: { depth },
      workgroups: [1, 1, 1],
    }),
  ],
  [
    controlConstructs(),
    () => ({
      buffers: { filter: floats(100), target: new Float32Array(16) },
      params: { length: 99 },
      workgroups: [1, 1, 1],
    }),
  ],
  [eager, () => ({ buffers: { weight: floats(32), x: floats(64) }, params: {}, workgroups: [2, 1, 1] })],
  [
    warpConstructs(),
    () => ({ buffers: { x: floats(64), y: new Float32Array(64 * 7) }, params: {}, workgroups: [1, 1, 1] }),
  ],
]);

const kernelNamed = (name: string) => [...runs.keys()].find((kernel) => kernel.name === name)!;
const bias = kernelNamed("add_bias");
const product = kernelNamed("bf16_product");
const staged = kernelNamed("staged_product");
const control = kernelNamed("control_constructs");
const warps = kernelNamed("warp_constructs");

export const plantedBugs: readonly PlantedBug[] = [
  {
    about: "a barrier that is missing before a reduction",
    kernel: norm,
    from: "squares);\n  __syncthreads();",
    to: "squares);",
    caught:
      /race: thread \d+ of block \(0, 0, 0\) loads sum_scratch\[32\] at \S+\.cu:\d+, which no|race: thread 32 .* stores/,
  },
  {
    about: "a barrier that only half of the threads reach",
    kernel: norm,
    from: "squares);\n  __syncthreads();",
    to: "squares);\n  if (threadIdx.x < 32u) __syncthreads();",
    caught:
      /divergence: thread 0 of block \(0, 0, 0\) waits at a barrier at .*, which thread 32 does not reach: it waits/,
  },
  {
    about: "threads that end before a barrier",
    kernel: norm,
    from: "const u32 chunks",
    to: "if (threadIdx.x >= 48u) return;\n  const u32 chunks",
    caught: /divergence: .* which thread 48 does not reach: it has ended/,
  },
  {
    about: "an operation of a warp that half of its lanes reach",
    kernel: warpNorm,
    from: "const f32 sum_partial = subgroup_add(squares);",
    to: "f32 sum_partial = 0.0f;\n  if (threadIdx.x % 32u < 16u) sum_partial = subgroup_add(squares);",
    caught: /divergence: thread 0 of block .* waits in subgroup_add .* which thread 16 does not reach/,
  },
  {
    about: "a tail that is one element too long",
    kernel: bias,
    from: "index < params.rows",
    to: "index <= params.rows",
    caught: /out of bounds: thread 63 of block \(0, 0, 0\) loads x\[63\] at \S+\.cu:\d+, outside of the 63 elements/,
  },
  {
    about: "a store without its predicate",
    kernel: bias,
    from: /if \(index < .*\) \{/,
    to: "{",
    caught: /out of bounds: thread 63 .* x\[63\]/,
  },
  {
    about: "a store outside of a shared array",
    kernel: norm,
    from: "store(sum_scratch, threadIdx.x, squares)",
    to: "store(sum_scratch, threadIdx.x + 1u, squares)",
    caught:
      /out of bounds: thread 63 .* stores to sum_scratch\[64\] at .*, outside of the 64 elements of this shared array/,
  },
  {
    about: "an index below zero",
    kernel: norm,
    from: "sum_scratch[0u]",
    to: "sum_scratch[i32(threadIdx.x) - 1]",
    caught: /out of bounds: thread 0 .* loads sum_scratch\[-1\]/,
  },
  {
    about: "a vector that is loaded from an address between two",
    kernel: product,
    from: "weights[(band",
    to: "buffer<const vec4<u32>>(x + 1u)[(band",
    caught: /misaligned access: thread 0 .* no multiple of its 16-byte elements/,
  },
  {
    about: "an asynchronous copy that nobody waits for",
    kernel: staged,
    from: "async_wait<1>();",
    to: "",
    caught: /not waited for: thread 0 .* loads weight_tile\[0\] .* started by thread 0/,
  },
  {
    about: "an asynchronous copy that is waited for too late",
    kernel: staged,
    from: "async_wait<1>();",
    to: "async_wait<2>();",
    caught: /not waited for: .*weight_tile/,
  },
  {
    about: "a copy into a tile that other lanes still read",
    kernel: staged,
    from: "sum = product;\n    __syncthreads();",
    to: "sum = product;",
    caught:
      /race: thread \d+ .* starts to copy to weight_tile\[\d+\] .*, which several threads loaded, with no barrier/,
  },
  {
    about: "a tile that is used without a barrier behind the copy",
    kernel: staged,
    from: "async_wait<1>();\n    __syncthreads();",
    to: "async_wait<1>();",
    caught: /race: .* loads weight_tile\[\d+\] .*, which thread \d+ stored|not waited for: .*/,
  },
  {
    about: "shared memory that is read and never stored",
    kernel: norm,
    from: "store(sum_scratch, threadIdx.x, squares);",
    to: "if (threadIdx.x != 7u) store(sum_scratch, threadIdx.x, squares);",
    caught: /uninitialised shared memory: .* stores to y\[\d+\] .*, what it computed from shared memory that no thread/,
  },
  {
    about: "a counter that starts from nothing",
    kernel: control,
    from: "store(counters, threadIdx.x, 0u);",
    to: "",
    caught: /uninitialised shared memory: thread 0 .* atomically updates counters\[0\]/,
  },
  {
    about: "an update that is not atomic",
    kernel: control,
    from: "atomic_add(counters, 0u, rounds);",
    to: "store(counters, 0u, counters[0u] + rounds);",
    caught: /race: thread 1 .* loads counters\[0\] .*, which thread 0 stored, with no barrier between/,
  },
  {
    about: "two threads that store one element of device memory",
    kernel: norm,
    from: "store(y, start + chunk_1,",
    to: "store(y, chunk_1,",
    caught:
      /race: thread 0 of block \(1, 0, 0\) stores to y\[0\] .*, which thread 0 of block \(0, 0, 0\) stored in the same launch/,
  },
  {
    about: "a loop without its last step",
    kernel: product,
    from: "tile < tiles",
    to: "tile + 1u < tiles",
    caught: "by numbers",
  },
  {
    about: "lanes of a fragment in the wrong order",
    kernel: product,
    from: "vec2<u32>{x[pair], x[pair + 4u]}",
    to: "vec2<u32>{x[pair + 4u], x[pair]}",
    caught: "by numbers",
  },
  {
    about: "rows of a matrix load in the wrong order",
    kernel: staged,
    from: "lane % 16u * 2u + lane / 16u",
    to: "lane / 2u * 2u + lane % 2u",
    caught: "by numbers",
  },
  {
    about: "a matrix load that transposes",
    kernel: staged,
    from: "matrix_load<vec2<u32>>",
    to: "matrix_load_transposed<vec2<u32>>",
    caught: "by numbers",
  },
  {
    about: "rows and columns of the result swapped",
    kernel: staged,
    from: "store(y, column * 16u + output, sum.x)",
    to: "store(y, output * 8u + column, sum.x)",
    caught: /race: .* stores to y|out of bounds/,
  },
  {
    about: "an operand that is taken twice",
    kernel: norm,
    from: "* weight[chunk_1]",
    to: "* x[start + chunk_1]",
    caught: "by numbers",
  },
  {
    about: "a shuffle with another mask",
    kernel: warps,
    from: "subgroup_shuffle_xor(value, 1u)",
    to: "subgroup_shuffle_xor(value, 2u)",
    caught: "by numbers",
  },
  {
    about: "a shuffle with a lane that no warp has",
    kernel: warps,
    from: "subgroup_shuffle_xor(value, 1u)",
    to: "subgroup_shuffle_xor(value, 32u)",
    caught: /no such lane: thread 0 .* asks for lane 32 of its warp in subgroup_shuffle_xor at \S+\.cu:\d+/,
  },
  {
    about: "a load of what the kernel before may still store",
    kernel: eager,
    from: "gain = weight[threadIdx.x]",
    to: "gain = x[threadIdx.x]",
    caught: /previous kernel has ended: thread 0 .* loads x\[0\] .*, where kernels store, before await_previous\(\)/,
  },
  {
    about: "a pointer that no check sees",
    kernel: bias,
    from: "store(x, index,",
    to: "*reinterpret_cast<volatile u32*>(16) = index;\n    store(x, index,",
    caught: /crash: thread 0 of block \(0, 0, 0\) touches memory that is not its own/,
  },
  {
    about: "a division by zero",
    kernel: bias,
    from: "index % params.width",
    to: "index % (params.width - 7u)",
    caught: /division by zero: thread 0 of block \(0, 0, 0\) divides an integer by zero/,
  },
];

/** The text with its bug, under a name of its own. */
export function planted({ kernel, from, to }: PlantedBug, name: string): { kernel: Kernel; text: string } {
  const right = emitCuda({ ...kernel, name });
  const text = right.replace(from, to);
  if (text === right) throw new Error(`${kernel.name} has no ${from}`);
  return { kernel: { ...kernel, name }, text };
}
