/**
 * Weights on their way to the device: which bytes of which source tensor go where in which buffer.
 */
import type { Checkpoint, CheckpointTensor } from "./checkpoint.js";
import { type FloatDtype, isFloatDtype } from "./dtype.js";
import { OutOfMemory, WeightsError } from "./errors.js";
import { fragmentLength, fragmentRowBytes } from "./fragments.js";
import type { Element, Manifest, WeightInfo } from "./manifest.js";
import { nearestName } from "./nearest-name.js";
import { scalesOfRow, wordsOfRow } from "./quantise.js";
import { elementBytes, roundUp, type SizeLimits } from "./shape.js";

/** Rows [base, base + rows) of a packed weight, in a buffer of their own. */
export interface WeightPart {
  readonly base: number;
  readonly rows: number;
  /** Of the buffer; a multiple of 16. */
  readonly bytes: number;
}

/** A packed weight of one layer, or of none. */
export interface PackedWeight {
  readonly info: WeightInfo;
  readonly layer: number | undefined;
  readonly parts: readonly WeightPart[];
}

/** A run of bytes of a source tensor in a packed weight. */
export interface Placement {
  readonly weight: PackedWeight;
  /** Where the tensor starts among the stacked rows, before they are laid out. */
  readonly row: number;
  /** The tensor is quantised already, as the weight has it. */
  readonly stored: boolean;
}

/** Splits start at multiples of this many rows, so that no kernel's tile straddles two parts. */
const splitRows = 256;

/** The packed weights of a model, split where a buffer would exceed the limits. */
export function planWeights(manifest: Manifest, limits: SizeLimits): PackedWeight[] {
  return manifest.weights.flatMap((info) => {
    const parts = splitIntoParts(info, Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize));
    return layersOf(manifest, info).map((layer) => ({ info, layer, parts }));
  });
}

/** The layers that have a weight; one that is undefined for a weight outside of the layers. */
export function layersOf(manifest: Manifest, info: WeightInfo): readonly (number | undefined)[] {
  if (!info.perLayer) return [undefined];
  return info.layers ?? Array.from({ length: manifest.model.layers }, (_, layer) => layer);
}

/** The layer whose weight a step of a layer (or none) takes. */
export function layerOfWeight(
  manifest: Manifest,
  source: { readonly layer?: "previous" },
  layer: number | undefined,
): number | undefined {
  return source.layer === "previous" ? (layer ?? manifest.model.layers) - 1 : layer;
}

/** Bytes of a row of a packed weight, padding included, and how many rows it has with padding. */
export function packedShape(info: WeightInfo): { readonly rows: number; readonly rowBytes: number } {
  if (info.layout === "fragments") return { rows: fragmentLength(info.rows), rowBytes: fragmentRowBytes(info) };
  return { rows: info.rows, rowBytes: bytesOfRow(info) };
}

/** Bytes of a row of a packed weight before it is laid out: without padding. */
export function bytesOfRow({ columns, element, quantised }: WeightInfo): number {
  return (quantised ? elementsOfRow(columns, quantised) : columns) * elementBytes[element];
}

/** Words or scales of a row of so many columns. */
function elementsOfRow(columns: number, { bits, group, part }: NonNullable<WeightInfo["quantised"]>): number {
  return part === "values" ? wordsOfRow(columns, bits) : scalesOfRow(columns, group);
}

function splitIntoParts(info: WeightInfo, limit: number): readonly WeightPart[] {
  const { rows, name } = info;
  const { rows: packedRows, rowBytes } = packedShape(info);
  const whole = roundUp(packedRows * rowBytes);
  if (whole <= limit) return [{ base: 0, rows, bytes: whole }];

  const most = Math.floor(limit / rowBytes / splitRows) * splitRows;
  if (!info.splittable || most === 0) {
    throw new OutOfMemory(`the weight ${name} needs ${whole} bytes in one buffer and the device allows ${limit}`, {
      details: { weight: name, bytes: whole, limit },
      hint: "Use a narrower type for the weights, or another adapter.",
    });
  }
  const parts: WeightPart[] = [];
  for (let base = 0; base < rows; base += most) {
    const count = Math.min(most, rows - base);
    parts.push({ base, rows: count, bytes: roundUp(Math.min(most, packedRows - base) * rowBytes) });
  }
  return parts;
}

export function weightBytes(weights: readonly PackedWeight[]): number {
  return weights.reduce((total, { parts }) => total + parts.reduce((sum, { bytes }) => sum + bytes, 0), 0);
}

/** The full name of a source tensor in a layer: `{l}` in its template stands for the layer. */
export function tensorName(template: string, layer: number | undefined): string {
  return layer === undefined ? template : template.replaceAll("{l}", String(layer));
}

/** The name under which a checkpoint holds a tensor that is quantised already; the packed weights of packages do. */
export function storedName(name: string, { bits, group, part }: NonNullable<WeightInfo["quantised"]>): string {
  return `${name} (int${bits}x${group} ${part})`;
}

/** The tensor that a source is taken from, as the checkpoint has it: floats, or what is stored where that is there. */
export function sourceOf(
  { quantised }: WeightInfo,
  name: string,
  checkpoint: Checkpoint,
): { readonly name: string; readonly stored: boolean } {
  const stored = quantised && storedName(name, quantised);
  return stored !== undefined && checkpoint.tensors.has(stored)
    ? { name: stored, stored: true }
    : { name, stored: false };
}

/** Where each tensor of the checkpoint goes; tensors that no weight asks for are absent. */
export function placementsOf(weights: readonly PackedWeight[], checkpoint: Checkpoint): Map<string, Placement[]> {
  const placements = new Map<string, Placement[]>();
  for (const weight of weights) {
    for (const { tensor, row } of weight.info.sources) {
      const { name, stored } = sourceOf(weight.info, tensorName(tensor, weight.layer), checkpoint);
      const places = placements.get(name) ?? [];
      places.push({ weight, row, stored });
      placements.set(name, places);
    }
  }
  return placements;
}

/** Everything about a checkpoint that does not fit the model: each missing tensor, wrong shape and unreadable type. */
export function findMisfits(weights: readonly PackedWeight[], checkpoint: Checkpoint): WeightsError[] {
  const misfits = new Map<string, WeightsError>();
  const wanted = placementsOf(weights, checkpoint);
  // A tensor that has its place already is not the one that is missing under another name.
  const unplaced = [...checkpoint.tensors.keys()].filter((name) => !wanted.has(name));
  for (const { info, layer } of weights) {
    for (const { tensor, shape, zeros } of info.sources) {
      const { name, stored } = sourceOf(info, tensorName(tensor, layer), checkpoint);
      const found = checkpoint.tensors.get(name);
      if (misfits.has(name) || (found === undefined && zeros)) continue;
      const misfit =
        found === undefined
          ? absent(name, shape, unplaced)
          : stored
            ? storedMisfit(found, shape, info)
            : misfitOf(found, shape);
      if (misfit !== undefined) misfits.set(name, misfit);
    }
  }
  return [...misfits.values()];
}

function absent(name: string, shape: readonly number[], unplaced: readonly string[]): WeightsError {
  const nearest = nearestName(name, unplaced);
  return new WeightsError("tensor-absent", `the checkpoint has no tensor ${name} [${shape.join(", ")}]`, {
    details: { tensor: name, expected: shape, ...(nearest === undefined ? {} : { nearest }) },
    ...(nearest === undefined ? {} : { hint: `Is it ${nearest}?` }),
  });
}

function storedMisfit(
  found: CheckpointTensor,
  [rows]: readonly number[],
  { columns, quantised }: WeightInfo,
): WeightsError | undefined {
  const { name, dtype } = found;
  const wanted = quantised!.part === "values" ? "U32" : "BF16";
  if (dtype === wanted) return shapeMisfit(found, [rows!, elementsOfRow(columns, quantised!)]);
  return new WeightsError("tensor-dtype", `tensor ${name} is ${dtype}, and it must be ${wanted}`, {
    details: { tensor: name, dtype },
  });
}

function shapeMisfit({ name, shape: found }: CheckpointTensor, shape: readonly number[]): WeightsError | undefined {
  if (found.join() === shape.join()) return undefined;
  return new WeightsError(
    "tensor-shape",
    `tensor ${name} has shape [${found.join(", ")}] where the model has [${shape.join(", ")}]`,
    { details: { tensor: name, found, expected: shape } },
  );
}

function misfitOf(found: CheckpointTensor, shape: readonly number[]): WeightsError | undefined {
  const { name, dtype } = found;
  const misshapen = shapeMisfit(found, shape);
  if (misshapen !== undefined) return misshapen;
  if (!isFloatDtype(dtype)) {
    return new WeightsError("tensor-dtype", `tensor ${name} is ${dtype}, and weights must be F32, F16, BF16 or F64`, {
      details: { tensor: name, dtype },
    });
  }
  return undefined;
}

/** How an element type is stored in a checkpoint. */
export function storedAs(element: Element): FloatDtype {
  switch (element) {
    case "f32":
      return "F32";
    case "f16":
      return "F16";
    case "bf16":
      return "BF16";
    case "i32":
    case "u32":
      throw new Error(`weights of type ${element} have no conversion`);
  }
}
