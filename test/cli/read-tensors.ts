import { readFileSync } from "node:fs";
import { memorySource } from "../../src/runtime/byte-source.js";
import { openSafetensors } from "../../src/runtime/checkpoint.js";
import { isFloatDtype, toF32, toIntegers } from "../../src/runtime/dtype.js";

export interface Values {
  readonly shape: readonly number[];
  readonly values: ArrayLike<number>;
}

/** All tensors of a safetensors file as numbers. */
export async function readTensors(path: string): Promise<ReadonlyMap<string, Values>> {
  const checkpoint = await openSafetensors(memorySource(new Uint8Array(readFileSync(path)), path));
  const tensors = new Map<string, Values>();
  for (const tensor of checkpoint.tensors.values()) {
    const bytes = await checkpoint.read(tensor);
    const { name, dtype, shape } = tensor;
    tensors.set(name, { shape, values: isFloatDtype(dtype) ? toF32(bytes, dtype) : toIntegers(bytes, dtype as "I32") });
  }
  return tensors;
}
