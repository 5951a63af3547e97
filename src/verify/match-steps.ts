/** Which step of a prefill finishes which operation of the graph. */
import type { Graph, Op, Value } from "../ir/graph/ops.js";
import type { Manifest, Step } from "../runtime/manifest.js";
import { placeValues } from "../schedule/place-values.js";

/** Where in a prefill a value of the graph is complete. */
export interface ProbePoint {
  readonly part: "before" | "layer" | "after";
  /** Only with `layer`. */
  readonly layer: number;
  /** The last step that writes the value, by its place in the part. */
  readonly step: number;
  readonly value: Value;
  /** The working buffer that holds it then, and its columns. */
  readonly buffer: string;
  readonly width: number;
}

/** Every value that steps of a prefill compute, in the order of the steps. */
export function probePoints(graph: Graph, manifest: Manifest): readonly ProbePoint[] {
  const places = placeValues(graph);
  const { prefill } = manifest.phases;
  const { ops } = graph.body;
  const at = ops.findIndex((op) => op.kind === "layers");
  const loop = ops[at];
  const points = (part: ProbePoint["part"], layer: number, of: readonly Op[], steps: readonly Step[]) =>
    matchSteps(of, steps, (value) => places.bufferOf(value), manifest).map(({ value, step }) => ({
      ...{ part, layer, step, value },
      buffer: places.bufferOf(value.id),
      width: places.widthOf(value.id),
    }));

  const before = points("before", 0, ops.slice(0, Math.max(at, 0)), prefill.before);
  const inLayers =
    loop?.kind !== "layers"
      ? []
      : loop.classOf.flatMap((layerClass, layer) =>
          points("layer", layer, loop.classes[layerClass]!.body.ops, prefill.layer[prefill.classOf[layer]!]!),
        );
  return [...before, ...inLayers, ...points("after", 0, ops.slice(at + 1), prefill.after)];
}

/** Steps stand in the order of the operations, and some operations take several: the last of them completes the value. */
function matchSteps(
  ops: readonly Op[],
  steps: readonly Step[],
  bufferOf: (value: number) => string,
  manifest: Manifest,
): { readonly value: Value; readonly step: number }[] {
  const computed = ops.filter((op) => kinds.has(op.kind)).map((op) => op.results[0]!);
  const last = new Map<number, number>();
  let current = -1;
  for (const [index, step] of steps.entries()) {
    const written = writtenBuffers(step, manifest);
    const next = computed[current + 1];
    if (next !== undefined && written.has(bufferOf(next.id))) current++;
    else if (current < 0 || !written.has(bufferOf(computed[current]!.id))) continue;
    last.set(current, index);
  }
  return [...last].map(([place, step]) => ({ value: computed[place]!, step }));
}

/** Operations that have steps of their own. */
const kinds: ReadonlySet<Op["kind"]> = new Set([
  "embed",
  "fused-linear",
  "norm",
  "map",
  "store-keys",
  "cached-attention",
]);

function writtenBuffers(step: Step, manifest: Manifest): ReadonlySet<string> {
  const kernel = manifest.kernels.find(({ name }) => name === step.choices[0]!.kernel)!;
  const written = new Set<string>();
  for (const { name, access } of kernel.bindings) {
    const source = step.bindings[name];
    if (access === "read_write" && source?.kind === "buffer") written.add(source.name);
  }
  return written;
}
