/**
 * The device memory of a model and of its sessions.
 */
import type { BoundBuffer, DeviceBuffer } from "./compute-device.js";
import { ManifestError } from "./errors.js";
import { evaluate } from "./expr.js";
import type { BindingSource, Manifest } from "./manifest.js";
import { layerOfWeight, type PackedWeight } from "./packing.js";
import {
  elementBytes,
  type PlannedBuffer,
  roundUp,
  type SessionShape,
  scratchName,
  stepStoreName,
  storeName,
  storesOf,
} from "./shape.js";

/** The buffers of a packed weight's parts, by weight, layer and part. */
export const partName = (weight: string, layer: number | undefined, part: number) =>
  `${layer === undefined ? weight : `${weight} of layer ${layer}`}${part === 0 ? "" : `, part ${part + 1}`}`;

export function plannedWeightBuffers(weights: readonly PackedWeight[]): PlannedBuffer[] {
  return weights.flatMap(({ info, layer, parts }) =>
    parts.map(({ bytes }, part) => ({ name: partName(info.name, layer, part), purpose: "working" as const, bytes })),
  );
}

/** Finds what a binding of a step stands for. */
export class BufferTable {
  readonly #manifest: Manifest;
  readonly #shape: SessionShape;
  readonly #weights: ReadonlyMap<string, DeviceBuffer>;
  readonly #session: ReadonlyMap<string, DeviceBuffer>;
  readonly #perLayer: ReadonlySet<string>;

  constructor(
    manifest: Manifest,
    shape: SessionShape,
    weights: ReadonlyMap<string, DeviceBuffer>,
    session: ReadonlyMap<string, DeviceBuffer>,
  ) {
    this.#manifest = manifest;
    this.#shape = shape;
    this.#weights = weights;
    this.#session = session;
    this.#perLayer = new Set(manifest.weights.filter(({ perLayer }) => perLayer).map(({ name }) => name));
  }

  find(
    source: BindingSource,
    at: { readonly phase: "prefill" | "decode"; readonly layer: number | undefined; readonly part: number | undefined },
  ): BoundBuffer {
    switch (source.kind) {
      case "buffer":
        return this.working(source.name);
      case "table":
        return this.#whole(this.#session, source.name);
      case "weight": {
        const layer = this.#perLayer.has(source.name) ? layerOfWeight(this.#manifest, source, at.layer) : undefined;
        const part = partName(source.name, layer, at.part ?? 0);
        // Only the weight that the step is repeated for has further parts; a norm beside it is whole.
        return this.#whole(this.#weights, this.#weights.has(part) ? part : partName(source.name, layer, 0));
      }
      case "keys":
        return this.#keys(source.group, at.layer!, at.phase);
      case "store":
        return this.#whole(this.#session, storeName(at.layer!, source.group));
      case "control":
        return this.control(at.phase);
      case "decode-control":
        return this.control("decode");
    }
  }

  control(phase: "prefill" | "decode"): BoundBuffer {
    return this.#whole(this.#session, `control of ${phase}`);
  }

  /** A buffer of the manifest, which may share memory with others. */
  working(name: string): BoundBuffer {
    const info = this.#manifest.buffers.find((buffer) => buffer.name === name);
    if (info === undefined) throw new ManifestError("buffers", `there is no ${name}`);
    const size = roundUp(Math.max(1, evaluate(info.length, this.#shape.symbols) * elementBytes[info.element]));
    return { buffer: this.#whole(this.#session, info.slot).buffer, size };
  }

  #keys(group: string, layer: number, phase: "prefill" | "decode"): BoundBuffer {
    const store = storesOf(this.#manifest, layer).find((candidate) => candidate.group === group)!;
    if (store.layout === "forever") return this.#whole(this.#session, storeName(layer, group));
    if (phase === "prefill") return this.#whole(this.#session, scratchName(group));
    return this.#whole(this.#session, store.layout === "step" ? stepStoreName(group) : storeName(layer, group));
  }

  #whole(buffers: ReadonlyMap<string, DeviceBuffer>, name: string): BoundBuffer {
    const buffer = buffers.get(name);
    if (buffer === undefined) throw new ManifestError("bindings", `nothing is stored as ${name}`);
    return { buffer, size: buffer.size };
  }
}
