export { type AdapterChoice, type FoundAdapter, findAdapter } from "./adapter.js";
export { writeFileAtomic, writeFolderAtomic } from "./atomic-write.js";
export { type OpenCudaOptions, openCuda, openEmulatedCuda } from "./cuda.js";
export { openFileSource } from "./file-source.js";
export { openCheckpoint } from "./open-checkpoint.js";
export { loadTokenizer } from "./tokenizer.js";
