/** Runs this package on CUDA devices. */
export * from "../../../../runtime/core.js";
export { CudaDevice } from "../../../../runtime/cuda/device.js";
export type { CudaDescription } from "../../../../runtime/cuda/device-info.js";
export type { ModuleBuilder, ModuleImage, ModuleSource } from "../../../../runtime/cuda/module-builder.js";
