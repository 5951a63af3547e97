/**
 * The part of WebGPU that the run time uses, as types.
 *
 * TypeScript's own libraries may or may not declare WebGPU, and a package must type-check either way, so it brings these. They are
 * structural: the platform's `GPUAdapter` and `GPUDevice` are values of the types here.
 */

export type GPUFeatureName = string;

export interface GPUSupportedLimits {
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
  readonly maxStorageBuffersPerShaderStage: number;
  readonly maxUniformBufferBindingSize: number;
  readonly maxComputeWorkgroupStorageSize: number;
  readonly maxComputeInvocationsPerWorkgroup: number;
  readonly maxComputeWorkgroupSizeX: number;
  readonly maxComputeWorkgroupSizeY: number;
  readonly maxComputeWorkgroupSizeZ: number;
  readonly maxComputeWorkgroupsPerDimension: number;
  readonly minStorageBufferOffsetAlignment: number;
  readonly minUniformBufferOffsetAlignment: number;
}

export interface GPUAdapterInfo {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  readonly subgroupMinSize?: number;
  readonly subgroupMaxSize?: number;
}

export interface GPUAdapter {
  readonly features: ReadonlySet<string>;
  readonly limits: GPUSupportedLimits;
  readonly info: GPUAdapterInfo;
  requestDevice(descriptor?: {
    requiredFeatures?: Iterable<GPUFeatureName>;
    requiredLimits?: Record<string, number | undefined>;
  }): Promise<GPUDevice>;
}

export interface GPUError {
  readonly message: string;
}

export interface GPUUncapturedErrorEvent extends Event {
  readonly error: GPUError;
}

export interface GPUDeviceLostInfo {
  readonly reason: string;
  readonly message: string;
}

export interface GPUDevice {
  readonly features: ReadonlySet<string>;
  readonly limits: GPUSupportedLimits;
  readonly queue: GPUQueue;
  readonly lost: Promise<GPUDeviceLostInfo>;
  addEventListener(type: "uncapturederror", listener: (event: Event) => void): void;
  pushErrorScope(filter: "validation" | "out-of-memory" | "internal"): void;
  popErrorScope(): Promise<GPUError | null>;
  createBuffer(descriptor: { label?: string; size: number; usage: number; mappedAtCreation?: boolean }): GPUBuffer;
  createShaderModule(descriptor: { label?: string; code: string }): GPUShaderModule;
  createBindGroupLayout(descriptor: { label?: string; entries: GPUBindGroupLayoutEntry[] }): GPUBindGroupLayout;
  createPipelineLayout(descriptor: { label?: string; bindGroupLayouts: GPUBindGroupLayout[] }): GPUPipelineLayout;
  createBindGroup(descriptor: {
    label?: string;
    layout: GPUBindGroupLayout;
    entries: GPUBindGroupEntry[];
  }): GPUBindGroup;
  createComputePipelineAsync(descriptor: {
    label?: string;
    layout: GPUPipelineLayout;
    compute: { module: GPUShaderModule; entryPoint: string };
  }): Promise<GPUComputePipeline>;
  createCommandEncoder(descriptor?: { label?: string }): GPUCommandEncoder;
  createQuerySet(descriptor: { type: "timestamp"; count: number }): GPUQuerySet;
  destroy(): void;
}

export interface GPUQueue {
  submit(commands: Iterable<GPUCommandBuffer>): void;
  writeBuffer(
    buffer: GPUBuffer,
    offset: number,
    data: ArrayBuffer | ArrayBufferView<ArrayBuffer>,
    dataOffset?: number,
    size?: number,
  ): void;
  onSubmittedWorkDone(): Promise<unknown>;
}

export interface GPUBuffer {
  readonly size: number;
  readonly usage: number;
  mapAsync(mode: number, offset?: number, size?: number): Promise<unknown>;
  getMappedRange(offset?: number, size?: number): ArrayBuffer;
  unmap(): void;
  destroy(): void;
}

export interface GPUBindGroupLayoutEntry {
  binding: number;
  visibility: number;
  buffer?: { type?: "uniform" | "storage" | "read-only-storage"; minBindingSize?: number; hasDynamicOffset?: boolean };
}

export interface GPUBindGroupEntry {
  binding: number;
  resource: { buffer: GPUBuffer; offset?: number; size?: number };
}

export interface GPUCompilationMessage {
  readonly type: string;
  readonly message: string;
  readonly lineNum: number;
  readonly linePos: number;
}

export interface GPUShaderModule {
  getCompilationInfo(): Promise<{ readonly messages: readonly GPUCompilationMessage[] }>;
}

/** Objects that are only handed back to the device; `label` is what they have in common. */
interface GPUHandle {
  label: string;
}

export interface GPUBindGroupLayout extends GPUHandle {}
export interface GPUBindGroup extends GPUHandle {}
export interface GPUPipelineLayout extends GPUHandle {}
export interface GPUComputePipeline extends GPUHandle {}
export interface GPUCommandBuffer extends GPUHandle {}
export interface GPUQuerySet extends GPUHandle {
  destroy(): void;
}

export interface GPUComputePassEncoder {
  setPipeline(pipeline: GPUComputePipeline): void;
  setBindGroup(index: number, group: GPUBindGroup, dynamicOffsets?: Iterable<number>): void;
  dispatchWorkgroups(x: number, y?: number, z?: number): void;
  end(): void;
}

export interface GPUCommandEncoder {
  beginComputePass(descriptor?: {
    label?: string;
    timestampWrites?: { querySet: GPUQuerySet; beginningOfPassWriteIndex?: number; endOfPassWriteIndex?: number };
  }): GPUComputePassEncoder;
  copyBufferToBuffer(
    source: GPUBuffer,
    sourceOffset: number,
    target: GPUBuffer,
    targetOffset: number,
    size: number,
  ): void;
  clearBuffer(buffer: GPUBuffer, offset?: number, size?: number): void;
  resolveQuerySet(querySet: GPUQuerySet, first: number, count: number, target: GPUBuffer, offset: number): void;
  finish(): GPUCommandBuffer;
}
