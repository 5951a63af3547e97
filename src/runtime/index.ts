/** Runs compiled packages on any WebGPU device. */
export * from "./core.js";
export { type AdapterDescription, describeAdapter } from "./webgpu/adapter-info.js";
export { Device, openDevice } from "./webgpu/device.js";
