/**
 * Reads any value of a prefill from a device.
 *
 * A session gives back the buffer that its manifest calls `logits`. So a manifest that ends behind the step in question, and calls the
 * buffer in question `logits`, gives that value; kernels and weights are those of the model itself.
 */
import type { Manifest, Phase } from "../runtime/manifest.js";
import { Model } from "../runtime/model.js";
import type { ProbePoint } from "./match-steps.js";

/** The first `rows` rows of the value at a point, after a prefill of `ids`. */
export async function probe(
  model: Model,
  point: ProbePoint,
  ids: readonly number[],
  rows: number,
): Promise<Float32Array> {
  const manifest = endAt(model.manifest, point, rows * point.width);
  const session = await new Model(model.device, manifest, model.kernels, model.weights, model.buffers).openSession({
    context: ids.length,
    slice: ids.length,
  });
  try {
    const [values] = await session.prefill([ids]);
    return values!;
  } finally {
    session.close();
  }
}

function endAt(manifest: Manifest, point: ProbePoint, elements: number): Manifest {
  const { slot } = manifest.buffers.find(({ name }) => name === point.buffer)!;
  const result = {
    name: "logits",
    doc: `${point.value.name}, probed`,
    element: "f32",
    length: elements,
    slot,
  } as const;
  return {
    ...manifest,
    model: { ...manifest.model, vocab: Math.max(elements, manifest.model.vocab) },
    phases: { ...manifest.phases, prefill: cutPhase(manifest.phases.prefill, point) },
    buffers: [
      ...manifest.buffers.filter(({ name }) => name !== "logits"),
      { ...result, length: Math.max(elements, manifest.model.vocab) },
    ],
  };
}

function cutPhase(phase: Phase, { part, layer: last, step }: ProbePoint): Phase {
  if (part === "before")
    return { ...phase, before: phase.before.slice(0, step + 1), layer: phase.layer.map(() => []), after: [] };
  if (part === "after") return { ...phase, after: phase.after.slice(0, step + 1) };
  const layer = phase.classOf.map((layerClass, index) => {
    const steps = phase.layer[layerClass]!;
    return index < last ? steps : index === last ? steps.slice(0, step + 1) : [];
  });
  return { ...phase, layer, classOf: layer.map((_, index) => index), after: [] };
}
