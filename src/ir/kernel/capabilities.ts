/**
 * What a device can do beyond plain SIMT code, and its limits.
 *
 * Kernels branch on this record while they are built, never on the name of a target.
 */
export interface Capabilities {
  /** Sizes a subgroup (warp) may have; absent where there are no subgroup operations. Both are powers of two. */
  readonly subgroups?: { readonly minSize: number; readonly maxSize: number };
  /** Arithmetic and storage in f16. */
  readonly f16: boolean;
  /** Storage in bf16. */
  readonly bf16: boolean;
  /** Matrix fragments: load, multiply-accumulate, store. */
  readonly matrix: boolean;
  /** Copies from buffers to workgroup memory that run beside computation. */
  readonly asyncCopy: boolean;
  /** Dispatches that begin before the one before them has ended, and wait for it themselves. */
  readonly dependentLaunch?: boolean;
  readonly limits: Limits;
}

export interface Limits {
  /** Invocations of one workgroup. */
  readonly maxWorkgroupSize: number;
  /** Bytes. */
  readonly maxWorkgroupMemory: number;
  /** Storage buffers that one kernel may bind, the params not counted. */
  readonly maxStorageBuffers: number;
  /** Bytes of one storage binding. */
  readonly maxBindingSize: number;
  /** Workgroups along one axis of a dispatch. */
  readonly maxWorkgroupsPerDimension: number;
}

/** What a kernel needs; the builder collects it from what the body uses. */
export type Capability = "subgroups" | "f16" | "bf16" | "matrix" | "async-copy" | "dependent-launch";

/** The limits every WebGPU device has, and none of the optional features. */
export const portableCapabilities: Capabilities = {
  f16: false,
  bf16: false,
  matrix: false,
  asyncCopy: false,
  limits: {
    maxWorkgroupSize: 256,
    maxWorkgroupMemory: 16384,
    maxStorageBuffers: 8,
    maxBindingSize: 128 * 1024 * 1024,
    maxWorkgroupsPerDimension: 65535,
  },
};
