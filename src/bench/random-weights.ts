/**
 * Weights of a model's true shapes, drawn by a seeded generator.
 *
 * Every value follows from its tensor's name and its place, so pieces are made when they are read: a host never holds more than a
 * piece, and a model of any size needs no download. Two runs, and two programs, draw the same weights. Where products read small
 * integers, these and their scales are drawn as packages store them: finding scales for floats takes a minute per billion weights.
 */
import type { Checkpoint, CheckpointTensor } from "../runtime/checkpoint.js";
import { bytesOf, convertFloats, dtypeBytes, type FloatDtype } from "../runtime/dtype.js";
import type { Manifest, WeightInfo } from "../runtime/manifest.js";
import { layersOf, storedName, tensorName } from "../runtime/packing.js";
import { scalesOfRow, wordsOfRow } from "../runtime/quantise.js";

/** Values are taken from a table of this many; two indices fit into one random word. */
const tableBits = 12;
const tableSize = 2 ** tableBits;

/** What a tensor is, and the bytes of the values that it is drawn from. */
interface Drawn extends Pick<CheckpointTensor, "name" | "shape"> {
  readonly dtype: FloatDtype | "U32";
  readonly table: Uint8Array;
}

/**
 * The tensors that a manifest asks for. `dtype` is what floats are stored in; every dtype holds the same values, rounded. Integers have
 * nothing to do with the floats of the same name.
 */
export function randomCheckpoint(manifest: Manifest, dtype: FloatDtype, seed = 0): Checkpoint {
  const tensors = new Map<string, CheckpointTensor>();
  const tables = new Map<string, Uint8Array>();
  for (const { name, shape, dtype: stored, table } of drawnOf(manifest, dtype)) {
    const elements = shape.reduce((product, size) => product * size, 1);
    const byteLength = elements * dtypeBytes[stored];
    tensors.set(name, { name, dtype: stored, shape, byteLength, shard: 0, offset: 0 });
    tables.set(name, table);
  }
  return {
    tensors,
    files: ["random weights"],
    read: async ({ name, dtype: stored, byteLength }, start = 0, length = byteLength - start) =>
      draw(tables.get(name)!, dtypeBytes[stored], hashText(name) ^ seed, start, length),
    close: async () => {},
  };
}

/** Values of one tensor as floats: what another program computes with when it is compared. */
export async function randomTensor(checkpoint: Checkpoint, name: string): Promise<Float32Array<ArrayBuffer>> {
  const tensor = checkpoint.tensors.get(name);
  if (tensor === undefined) throw new Error(`no weights are drawn for ${name}`);
  const bytes = convertFloats(await checkpoint.read(tensor), tensor.dtype as FloatDtype, "F32");
  return new Float32Array(bytes.slice().buffer as ArrayBuffer);
}

function drawnOf(manifest: Manifest, dtype: FloatDtype): Drawn[] {
  return manifest.weights.flatMap((info) =>
    layersOf(manifest, info).flatMap((layer) =>
      info.sources
        .filter(({ zeros }) => !zeros)
        .map(({ tensor, shape }) => drawnAs(info, tensorName(tensor, layer), shape, dtype)),
    ),
  );
}

function drawnAs({ quantised }: WeightInfo, name: string, shape: readonly number[], dtype: FloatDtype): Drawn {
  if (quantised === undefined) return { name, shape, dtype, table: floatTable(shape, dtype) };
  const [rows, columns] = shape as readonly [number, number];
  const { bits, group, part } = quantised;
  const stored = storedName(name, quantised);
  return part === "values"
    ? { name: stored, shape: [rows, wordsOfRow(columns, bits)], dtype: "U32", table: wordTable() }
    : { name: stored, shape: [rows, scalesOfRow(columns, group)], dtype: "BF16", table: scaleTable(columns, bits) };
}

/**
 * The values that a tensor is drawn from. A matrix keeps the size of what it is multiplied with: uniform in ±√(3 / columns). A vector
 * scales, so it is drawn around 1.
 */
function floatTable(shape: readonly number[], dtype: FloatDtype): Uint8Array {
  const isVector = shape.length === 1;
  const reach = isVector ? 0.25 : Math.sqrt(3 / shape.at(-1)!);
  const middle = isVector ? 1 : 0;
  return uniformTable(middle, reach, dtype);
}

/** Words whose bits have nothing in common: every integer is as likely as any other. */
function wordTable(): Uint8Array {
  return bytesOf(Uint32Array.from({ length: tableSize }, (_, index) => scramble(index + 1)));
}

/** Scales that give integers the reach of the floats of a matrix, a quarter more or less. */
function scaleTable(columns: number, bits: number): Uint8Array {
  const scale = Math.sqrt(3 / columns) / 2 ** (bits - 1);
  return uniformTable(scale, scale / 4, "BF16");
}

function uniformTable(middle: number, reach: number, dtype: FloatDtype): Uint8Array {
  const values = Float32Array.from(
    { length: tableSize },
    (_, index) => middle + reach * (((index + 0.5) / tableSize) * 2 - 1),
  );
  return convertFloats(bytesOf(values), "F32", dtype).slice();
}

/** Bytes [start, start + length) of a tensor; both are multiples of an element. */
function draw(table: Uint8Array, size: number, seed: number, start: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const first = start / size;
  const count = length / size;
  if (size === 2) fill(new Uint16Array(bytes.buffer), new Uint16Array(table.buffer), seed, first, count);
  else if (size === 4) fill(new Uint32Array(bytes.buffer), new Uint32Array(table.buffer), seed, first, count);
  else fill(new BigUint64Array(bytes.buffer), new BigUint64Array(table.buffer), seed, first, count);
  return bytes;
}

type Elements = { [index: number]: number | bigint };

function fill(target: Elements, table: Elements, seed: number, first: number, count: number): void {
  for (let at = 0; at < count; at++) {
    const place = first + at;
    // One word serves two neighbours.
    const word = scramble((place >>> 1) + Math.imul(seed, 0x9e3779b1));
    target[at] = table[(place & 1 ? word >>> tableBits : word) & (tableSize - 1)]!;
  }
}

/** Mixes the bits of a word, so that neighbouring words have nothing in common. */
function scramble(word: number): number {
  let mixed = word ^ (word >>> 16);
  mixed = Math.imul(mixed, 0x21f0aaad);
  mixed ^= mixed >>> 15;
  mixed = Math.imul(mixed, 0x735a2d97);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}

function hashText(text: string): number {
  let hash = 0;
  for (let at = 0; at < text.length; at++) hash = scramble(hash ^ text.charCodeAt(at));
  return hash;
}
