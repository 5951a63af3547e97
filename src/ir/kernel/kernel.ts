import type { Capability } from "./capabilities.js";
import type { Statement } from "./statements.js";
import type { ScalarType, ValueType } from "./types.js";

/** A function that a grid of workgroups runs on a device. Structured: there is no control-flow graph. */
export interface Kernel {
  /** Entry point and file name: lower case with underscores. */
  readonly name: string;
  /** What one invocation (or one workgroup) does, in a sentence or two. */
  readonly doc: string;
  /** The model's source line this came from, as `file:line`, when there is one. */
  readonly origin?: string;
  /** How many workgroups to start, in words: `one workgroup per row`. The plan has the formula. */
  readonly dispatch: string;
  /** Invocations of one workgroup, in one dimension. */
  readonly workgroupSize: number;
  /**
   * How many workgroups one processor should hold at a time, where that matters: a kernel with many loads under way in each invocation
   * wants few, so that each may have many registers. For targets that let a kernel say so; it changes nothing else.
   */
  readonly resident?: number;
  /** In binding order. */
  readonly buffers: readonly BufferDeclaration[];
  /** Laid out one after the other, four bytes each, in a uniform binding that follows the buffers. */
  readonly params: readonly ParamDeclaration[];
  readonly arrays: readonly WorkgroupArray[];
  readonly requires: readonly Capability[];
  readonly body: readonly Statement[];
}

export type Access = "read" | "read_write";

/** What a buffer holds, for the plan, the manifest and the work counters. */
export type BufferRole = "weight" | "activation" | "cache" | "table" | "state" | "scratch";

export interface BufferDeclaration {
  readonly name: string;
  /** One element; an index counts these. */
  readonly type: ValueType;
  readonly access: Access;
  readonly role: BufferRole;
  /**
   * No kernel writes it while this one runs, and the whole launch loads an element once at most, or nearly: caches had better keep
   * something else. Its loads stay where they are written, so those before `awaitPrevious` really come before it.
   */
  readonly once?: boolean;
}

export interface ParamDeclaration {
  readonly name: string;
  readonly type: Extract<ScalarType, "u32" | "i32" | "f32">;
  /** In bytes. */
  readonly offset: number;
}

/** Memory shared by a workgroup. Not zero at first: a kernel writes before it reads. */
export interface WorkgroupArray {
  readonly name: string;
  readonly type: ValueType;
  readonly length: number;
  /** Updated by `atomic` statements; then `type` is u32. */
  readonly atomic: boolean;
}

/** Bytes of the params binding, a multiple of 16; 0 when a kernel has none. */
export function paramsSize(kernel: Kernel): number {
  return Math.ceil((kernel.params.length * 4) / 16) * 16;
}

/** The binding number of the params: the one after the last buffer. */
export function paramsBinding(kernel: Kernel): number {
  return kernel.buffers.length;
}
