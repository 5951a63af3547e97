import type { Kernel } from "../../../src/ir/kernel/kernel.js";
import { addBias, rmsNorm } from "../kernel-ir/example-kernels.js";
import type { DeviceRun } from "./compare.js";
import {
  controlConstructs,
  floatConstructs,
  halfConstructs,
  integerConstructs,
  subgroupConstructs,
  vectorConstructs,
} from "./construct-kernels.js";

export interface Trial {
  readonly about: string;
  readonly kernel: Kernel;
  readonly run: DeviceRun;
  /** Relative to 1 + |value|. */
  readonly tolerance: number;
}

const values = (length: number, scale = 2) => Float32Array.from({ length }, (_, i) => Math.sin(i * 2.3 + 1) * scale);
const one = [1, 1, 1] as const;

function norm(about: string, subgroups: { readonly minSize: number; readonly maxSize: number } | undefined): Trial {
  const buffers = { x: values(3 * 280), weight: values(280), y: new Float32Array(3 * 280) };
  const run = { buffers, params: { width: 280, epsilon: 1e-5 }, workgroups: [3, 1, 1] as const };
  // Sums in another order: some units in the last place.
  return { about, kernel: rmsNorm({ subgroups }), run, tolerance: 1e-6 };
}

/** Kernels that together use every construct of WGSL, with what to run them on. Each call makes new buffers. */
export function trials(): readonly Trial[] {
  return [
    {
      about: "a bias added to rows",
      kernel: addBias(),
      run: { buffers: { x: values(70), bias: values(7) }, params: { rows: 9, width: 7 }, workgroups: [2, 1, 1] },
      tolerance: 0,
    },
    norm("RMS norm through workgroup memory", undefined),
    norm("RMS norm through subgroups", { minSize: 4, maxSize: 128 }),
    {
      about: "every function of floats",
      kernel: floatConstructs(),
      run: { buffers: { x: values(16), y: new Float32Array(16 * 23) }, params: {}, workgroups: one },
      // Devices may compute exp, log and tanh to some units in the last place.
      tolerance: 3e-6,
    },
    {
      about: "integers that wrap, shift and divide on both sides of zero",
      kernel: integerConstructs(),
      run: { buffers: { y: new Int32Array(16 * 17) }, params: { offset: 8, scale: 3000000000 }, workgroups: one },
      tolerance: 0,
    },
    {
      about: "vectors and packed halves",
      kernel: vectorConstructs(),
      run: {
        buffers: { x: values(64, 9), y: new Float32Array(16 * 8 * 4), bits: new Uint32Array(64) },
        params: {},
        workgroups: one,
      },
      tolerance: 1e-6,
    },
    {
      about: "loops, branches, registers, workgroup memory, atomics and uniform loads",
      kernel: controlConstructs(),
      run: { buffers: { filter: values(100), target: new Float32Array(16) }, params: { length: 99 }, workgroups: one },
      tolerance: 1e-5,
    },
    {
      about: "subgroup operations",
      kernel: subgroupConstructs(),
      run: { buffers: { x: values(16), y: new Float32Array(16 * 8) }, params: {}, workgroups: one },
      tolerance: 1e-6,
    },
    {
      about: "f16",
      kernel: halfConstructs(),
      run: {
        buffers: { x: Uint16Array.from({ length: 64 }, (_, i) => 0x3000 + i * 37), y: new Uint16Array(64) },
        params: {},
        workgroups: one,
      },
      // Eleven significant bits, and functions that devices compute to some units in the last place.
      tolerance: 4e-3,
    },
  ];
}
