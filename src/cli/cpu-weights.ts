/** A checkpoint's tensors for the float64 interpreter. */

import { tensorsOf } from "../backends/host/package-files/seeded-weights.js";
import { InternalError } from "../diagnostics/diagnostic.js";
import { storedTensors } from "../interpret/graph/stored-weights.js";
import type { WeightSource, WeightTensor } from "../interpret/graph/weights.js";
import type { Checkpoint, LoadProgress } from "../runtime/checkpoint.js";
import { streamTensors } from "../runtime/checkpoint.js";
import { type FloatDtype, toF32 } from "../runtime/dtype.js";
import type { Manifest } from "../runtime/manifest.js";

/** Reads the tensors of a manifest's weights, as it stores them; those that are absent, or of a type that holds no floats, have been refused before. */
export async function readCpuWeights(
  checkpoint: Checkpoint,
  manifest: Manifest,
  onProgress?: (progress: LoadProgress) => void,
): Promise<WeightSource> {
  const tensors = new Map<string, WeightTensor>();
  const stored = storedTensors(manifest);
  const names = tensorsOf(manifest).map(({ name }) => name);
  for await (const { tensor, bytes } of streamTensors(checkpoint, names, { onProgress })) {
    const dtype = tensor.dtype as FloatDtype;
    // A 64-bit tensor is read as it is; through float32 it would lose what the interpreter can use.
    const data = dtype === "F64" ? new Float64Array(bytes.slice().buffer) : Float64Array.from(toF32(bytes, dtype));
    tensors.set(tensor.name, stored(tensor.name, { data, shape: tensor.shape }));
  }
  return (name) => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new InternalError(`the model asks for the tensor ${name}, which was not read`);
    return tensor;
  };
}
