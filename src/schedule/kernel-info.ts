/** How the manifest describes kernels: what a loader needs to bind and launch them. */
import { type BufferRole, type Kernel, paramsSize } from "../ir/kernel/kernel.js";
import { bytesOf, scalarOf, widthOf } from "../ir/kernel/types.js";
import type { Element, KernelInfo, Manifest } from "../runtime/manifest.js";
import { sha256 } from "./sha256.js";

/** A kernel as a package carries it. */
export interface PrintedKernel {
  readonly info: KernelInfo;
  readonly text: string;
}

/** A text of a package that is no kernel: what kernels include. */
export interface PackageText {
  readonly file: string;
  readonly text: string;
}

export function printKernel(
  kernel: Kernel,
  language: KernelInfo["language"],
  print: (kernel: Kernel) => string,
): PrintedKernel {
  const text = print(kernel);
  const info: KernelInfo = {
    name: kernel.name,
    doc: kernel.doc,
    file: `kernels/${kernel.name}.${language === "wgsl" ? "wgsl" : "cu"}`,
    entryPoint: kernel.name,
    language,
    sha256: sha256(text),
    ...(kernel.origin !== undefined && { origin: kernel.origin }),
    bindings: kernel.buffers.map(({ name, type, access, role }) => ({
      name,
      role: access === "read_write" && role === "activation" ? "output" : roles[role],
      element: scalarOf(type) as Element,
      lanes: widthOf(type),
      access,
    })),
    parameters: kernel.params.map(({ name, type, offset }) => ({ name, type, offset })),
    parameterBytes: paramsSize(kernel),
    workgroupSize: [kernel.workgroupSize, 1, 1],
    sharedMemoryBytes: kernel.arrays.reduce((sum, { type, length }) => sum + bytesOf(type) * length, 0),
    features: kernel.requires.map((capability) => (language === "wgsl" ? webgpuFeatures[capability] : capability)),
  };
  return { info, text };
}

const roles: Readonly<Record<BufferRole, KernelInfo["bindings"][number]["role"]>> = {
  weight: "weight",
  activation: "activation",
  scratch: "activation",
  cache: "cache",
  table: "table",
  state: "control",
};

/** The names of features as WebGPU spells them, where it has them. */
const webgpuFeatures: Readonly<Record<Kernel["requires"][number], string>> = {
  subgroups: "subgroups",
  f16: "shader-f16",
  bf16: "bf16",
  matrix: "matrix",
  "async-copy": "async-copy",
  "dependent-launch": "dependent-launch",
};

/** Features and limits that all kernels together need; limits that every device of the target offers are left out. */
export function requirementsOf(
  target: Manifest["target"],
  kernels: readonly KernelInfo[],
  weightBytes: readonly number[],
): Manifest["requires"] {
  const most = (of: (kernel: KernelInfo) => number) => Math.max(0, ...kernels.map(of));
  const threads = most(({ workgroupSize: [x, y, z] }) => x * y * z);
  const sharedBytes = most(({ sharedMemoryBytes }) => sharedMemoryBytes);
  const largestWeight = Math.max(0, ...weightBytes);
  const limits: Readonly<Record<string, number>> =
    target === "cuda"
      ? {
          computeCapability: leastComputeCapability,
          maxThreadsPerBlock: threads,
          maxSharedMemoryPerBlock: sharedBytes,
        }
      : {
          maxComputeInvocationsPerWorkgroup: threads,
          maxComputeWorkgroupSizeX: most(({ workgroupSize: [x] }) => x),
          maxComputeWorkgroupStorageSize: sharedBytes,
          maxStorageBuffersPerShaderStage: most(({ bindings }) => bindings.length),
          maxStorageBufferBindingSize: largestWeight,
          maxBufferSize: largestWeight,
        };
  const offered = guaranteed[target];
  return {
    features: [...new Set(kernels.flatMap((kernel) => kernel.features))].sort(),
    limits: Object.fromEntries(Object.entries(limits).filter(([name, value]) => value > (offered[name] ?? 0))),
  };
}

/** As in sm_80: the first with bf16 on matrix units and copies beside computation. */
const leastComputeCapability = 80;

/** What the WebGPU standard guarantees, and what every CUDA device of the last ten years has. */
const guaranteed: Readonly<Record<Manifest["target"], Readonly<Record<string, number>>>> = {
  webgpu: {
    maxComputeInvocationsPerWorkgroup: 256,
    maxComputeWorkgroupSizeX: 256,
    maxComputeWorkgroupStorageSize: 16384,
    maxStorageBuffersPerShaderStage: 8,
    maxStorageBufferBindingSize: 128 * 1024 * 1024,
    maxBufferSize: 256 * 1024 * 1024,
  },
  cuda: { maxThreadsPerBlock: 1024, maxSharedMemoryPerBlock: 48 * 1024 },
};
