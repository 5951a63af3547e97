/** What runs compiled packages on any kind of device. */
export { type ByteSource, memorySource } from "./byte-source.js";
export { checkManifest, parseManifest } from "./check-manifest.js";
export { type Checkpoint, type LoadProgress, openSafetensors, openShardedSafetensors } from "./checkpoint.js";
export type { ComputeDevice } from "./compute-device.js";
export * from "./errors.js";
export { fetchSource } from "./fetch-source.js";
export { type GeneratedToken, type GenerateOptions, generate } from "./generate.js";
export type { Manifest } from "./manifest.js";
export { type LoadOptions, loadModel, Model, type ModelSource } from "./model.js";
export { type OpenOptions, Session } from "./session.js";
export { TextStream, type Tokenizer } from "./tokenizer.js";
