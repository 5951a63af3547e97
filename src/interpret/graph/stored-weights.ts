/** A checkpoint's tensors as the kernels of a program read them, for comparisons in float64. */
import type { Manifest, Quantisation } from "../../runtime/manifest.js";
import { layersOf, tensorName } from "../../runtime/packing.js";
import { asQuantised } from "../../runtime/quantise.js";
import type { WeightTensor } from "./weights.js";

/**
 * Gives a tensor as a manifest stores it: where products read small integers, what these stand for; what an embedding gathers stays as
 * it is. Narrower floats are not rounded to: their error belongs to what comparisons tell.
 */
export function storedTensors(manifest: Manifest): (name: string, tensor: WeightTensor) => WeightTensor {
  const quantised = new Map<string, Quantisation>();
  const floats = new Set<string>();
  for (const info of manifest.weights) {
    for (const layer of layersOf(manifest, info)) {
      for (const { tensor } of info.sources) {
        const name = tensorName(tensor, layer);
        if (info.quantised) quantised.set(name, info.quantised);
        else floats.add(name);
      }
    }
  }
  return (name, tensor) => {
    const how = quantised.get(name);
    if (how === undefined) return tensor;
    const { data, shape } = tensor;
    const stored = Float64Array.from(asQuantised(Float32Array.from(data), shape[1]!, how));
    return { data: stored, shape, ...(floats.has(name) && { gathered: data }) };
  };
}
