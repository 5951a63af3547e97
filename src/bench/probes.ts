/**
 * Kernels that measure what a device can do: how fast it moves bytes and how fast it computes. They are written in kernel IR, so every
 * target has them.
 */
import { emitCuda } from "../backends/cuda/module.js";
import { cudaPreamble, preambleName } from "../backends/cuda/preamble.js";
import { emitWgsl } from "../backends/wgsl/module.js";
import { buildKernel, constantOf, fma, type Variable, vector } from "../ir/kernel/builder.js";
import type { Capabilities } from "../ir/kernel/capabilities.js";
import { fragmentLanes, productShape } from "../ir/kernel/fragments.js";
import type { Kernel } from "../ir/kernel/kernel.js";
import { type KernelInfo, type Manifest, manifestVersion } from "../runtime/manifest.js";
import { printKernel } from "../schedule/kernel-info.js";
import { sha256 } from "../schedule/sha256.js";

const workgroupSize = 256;
/** Workgroups of one row of a dispatch; below every device's limit. */
const rowOfWorkgroups = 16384;

/** Bytes that one workgroup of the copy reads; it writes as many. */
export const copyBytesPerWorkgroup = workgroupSize * 16;

/** Copies a buffer. One vector per invocation. */
export function copyProbe(): Kernel {
  return buildKernel(
    "copy_probe",
    {
      doc: "Copies a buffer. One vector per invocation.",
      dispatch: `vectors / ${workgroupSize} workgroups over x and y, without a rest`,
      workgroupSize,
    },
    (k) => {
      const source = k.read("source", "vec4<f32>");
      const target = k.readWrite("target", "vec4<f32>");
      const workgroup = k.workgroupId.y.mul(k.numWorkgroups.x).add(k.workgroupId.x);
      const index = k.let("index", workgroup.mul(workgroupSize).add(k.localId));
      target.set(index, source.at(index));
    },
  );
}

/** Independent sums per invocation: enough that none waits for its own last step. */
const chains = 8;
const stepsPerLoop = 64;

/** Arithmetic of one invocation of the probe, per iteration of its loop. */
const flopsPerLoop = 2 * 4 * chains * stepsPerLoop;

export function arithmeticFlops(workgroups: number, loops: number): number {
  return workgroups * workgroupSize * loops * flopsPerLoop;
}

/** Multiplies and adds in registers. Nothing moves but one vector in and one out per invocation. */
export function arithmeticProbe(): Kernel {
  return buildKernel(
    "arithmetic_probe",
    {
      doc: "Multiplies and adds in registers, many times over. One vector in and one out per invocation.",
      dispatch: "any number of workgroups",
      workgroupSize,
    },
    (k) => {
      const source = k.read("source", "vec4<f32>");
      const target = k.readWrite("target", "vec4<f32>");
      const loops = k.param("loops");
      // Values that the compiler cannot know, near 1 and near 0, so that sums neither vanish nor overflow.
      const factor = k.let("factor", source.at(k.localId));
      const sums: Variable[] = [];
      for (let chain = 0; chain < chains; chain++) {
        sums.push(k.var(`sum_${chain}`, factor.add(constantOf("vec4<f32>", chain))));
      }
      k.for("loop", { to: loops }, () => {
        for (let step = 0; step < stepsPerLoop; step++) for (const sum of sums) sum.set(fma(sum, factor, factor));
      });
      const total = sums.slice(1).reduce((sum, next) => sum.add(next), sums[0]!.add(0));
      target.set(k.globalId, total);
    },
  );
}

export const arithmeticWorkgroup = workgroupSize;

/** How many workgroups a dispatch has along x and y. */
export function spread(workgroups: number): readonly [number, number, number] {
  const x = Math.min(workgroups, rowOfWorkgroups);
  if (workgroups % x !== 0) throw new Error(`${workgroups} workgroups do not fill rows of ${x}`);
  return [x, workgroups / x, 1];
}

/** Products of one warp per step of the matrix probe, each for a sum of its own. */
const productsPerStep = 8;
const stepsPerMatrixLoop = 16;
const warp = fragmentLanes;

export function matrixFlops(workgroups: number, loops: number): number {
  const { rows, columns, depth } = productShape;
  const perWarp = 2 * rows * columns * depth * productsPerStep * stepsPerMatrixLoop;
  return (workgroups * workgroupSize * loops * perWarp) / warp;
}

/** Multiplies and adds on matrix units, operands and sums in registers. */
export function matrixProbe(): Kernel {
  return buildKernel(
    "matrix_probe",
    {
      doc: "Multiplies fragments of f16 and adds in f32 on matrix units, many times over.",
      dispatch: "any number of workgroups",
      workgroupSize,
    },
    (k) => {
      const source = k.read("source", "vec4<u32>");
      const target = k.readWrite("target", "vec4<f32>");
      const loops = k.param("loops");
      const left = k.let("left", source.at(k.localId));
      const right = k.let("right", vector("u32", [left.component(0), left.component(1)]));
      const sums: Variable[] = [];
      for (let product = 0; product < productsPerStep; product++) {
        sums.push(k.var(`sum_${product}`, constantOf("vec4<f32>", product)));
      }
      k.for("loop", { to: loops }, () => {
        for (let step = 0; step < stepsPerMatrixLoop; step++)
          for (const sum of sums) sum.set(k.mma("next", "f16", left, right, sum));
      });
      target.set(
        k.globalId,
        sums.slice(1).reduce((total, next) => total.add(next), sums[0]!.add(0)),
      );
    },
  );
}

const targets = {
  webgpu: { language: "wgsl", emit: emitWgsl, headers: [] },
  cuda: { language: "cuda", emit: emitCuda, headers: [{ file: `kernels/${preambleName}`, text: cudaPreamble() }] },
} as const;

/** A package of the probes alone: what a device needs to open them. Matrix units have one where the target has them. */
export interface ProbePackage {
  readonly manifest: Manifest;
  readonly kernels: readonly KernelInfo[];
  /** By file name. */
  readonly texts: ReadonlyMap<string, string>;
}

export function probePackage(target: Manifest["target"], { matrix }: Pick<Capabilities, "matrix">): ProbePackage {
  const { language, emit, headers } = targets[target];
  const programs = [copyProbe(), arithmeticProbe(), ...(matrix ? [matrixProbe()] : [])];
  const printed = programs.map((kernel) => printKernel(kernel, language, emit));
  const kernels = printed.map(({ info }) => info);
  const texts = new Map([
    ...printed.map(({ info, text }) => [info.file, text] as const),
    ...headers.map(({ file, text }) => [file, text] as const),
  ]);
  return { manifest: manifestOf(target, kernels, headers), kernels, texts };
}

/** A model of no layers: only its kernels matter. */
function manifestOf(
  target: Manifest["target"],
  kernels: readonly KernelInfo[],
  headers: readonly { readonly file: string; readonly text: string }[],
): Manifest {
  const phase = { before: [], layer: [], classOf: [], after: [] };
  return {
    format: "phdc-package",
    version: manifestVersion,
    generator: "phdc bench",
    target,
    model: { name: "probes", source: "", parameters: {}, vocab: 1, layers: 0, copies: 1, predictCopy: 1, attends: [] },
    symbols: [],
    constants: {},
    groups: [],
    rows: {
      tileRows: { prefill: 1, decode: 1 },
      prefill: { inputs: [], layers: [] },
      decode: { order: [1], input: [], query: [] },
    },
    stores: { distinct: [], layers: [] },
    buffers: [],
    tables: [],
    weights: [],
    kernels,
    ...(headers.length > 0 && {
      modules: { headers: headers.map(({ file, text }) => ({ file, sha256: sha256(text) })) },
    }),
    phases: { prefill: phase, decode: phase },
    sampling: [],
    memory: { weights: 0, caches: 0, working: 0 },
    requires: { features: [], limits: {} },
    tolerance: 0,
  };
}
