/**
 * The safetensors file format: eight bytes of header length, a JSON header, the tensors' bytes without gaps.
 *
 * The reader trusts nothing. Every length is checked against the file before anything of that size is allocated, and every entry
 * before it is used; what it refuses, it names.
 */
import type { ByteSource } from "./byte-source.js";
import { type Dtype, dtypeBytes, isDtype } from "./dtype.js";
import { duplicateKey } from "./duplicate-key.js";
import { WeightsError } from "./errors.js";

/** A tensor of one file. */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Where its bytes start, from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface SafetensorsHeader {
  /** In the order in which they lie in the file. */
  readonly tensors: readonly StoredTensor[];
  /** The free text of `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** The format's own bound on the header. */
const largestHeader = 100_000_000;
const lengthBytes = 8;

/** Reads and checks the header of a file; reads none of the tensors. */
export async function readSafetensorsHeader(source: ByteSource): Promise<SafetensorsHeader> {
  if (source.size < lengthBytes) {
    throw new WeightsError(
      "header-truncated",
      `${source.name} has ${source.size} bytes, too few for a safetensors file`,
      {
        details: { file: source.name, size: source.size },
      },
    );
  }
  const prefix = await source.read(0, lengthBytes);
  const length = new DataView(prefix.buffer, prefix.byteOffset, lengthBytes).getBigUint64(0, true);
  if (length > BigInt(largestHeader)) {
    throw new WeightsError(
      "header-too-large",
      `${source.name} announces a header of ${length} bytes; the format allows ${largestHeader}`,
      { details: { file: source.name, length: String(length) }, hint: "Is this a safetensors file?" },
    );
  }
  if (length > BigInt(source.size - lengthBytes)) {
    throw new WeightsError(
      "header-truncated",
      `${source.name} announces a header of ${length} bytes but only ${source.size - lengthBytes} follow`,
      {
        details: { file: source.name, length: Number(length), size: source.size },
        hint: "The download may be incomplete.",
      },
    );
  }
  const text = decodeUtf8(source, await source.read(lengthBytes, Number(length)));
  return checkHeader(source, text, lengthBytes + Number(length));
}

function decodeUtf8(source: ByteSource, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw headerInvalid(source, "is not UTF-8 text", cause);
  }
}

function headerInvalid(source: ByteSource, what: string, cause?: unknown): WeightsError {
  return new WeightsError("header-invalid", `${source.name}: the header ${what}`, {
    details: { file: source.name },
    hint: "Is this a safetensors file?",
    cause,
  });
}

/** `start` is where the tensors' bytes begin in the file. */
function checkHeader(source: ByteSource, text: string, start: number): SafetensorsHeader {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (cause) {
    throw headerInvalid(source, "is not JSON", cause);
  }
  if (!isRecord(header)) throw headerInvalid(source, "is not a JSON object");
  const duplicate = duplicateKey(text);
  if (duplicate !== undefined) {
    throw new WeightsError("tensor-duplicate", `${source.name} lists ${quote(duplicate)} twice`, {
      details: { file: source.name, tensor: duplicate },
    });
  }

  const tensors: StoredTensor[] = [];
  let metadata: ReadonlyMap<string, string> = new Map();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") metadata = checkMetadata(source, entry);
    else tensors.push(checkEntry(source, name, entry, start));
  }
  tensors.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  checkCover(source, tensors, start);
  return { tensors, metadata };
}

function checkMetadata(source: ByteSource, entry: unknown): ReadonlyMap<string, string> {
  if (!isRecord(entry)) throw headerInvalid(source, "has a __metadata__ that is not an object");
  const metadata = new Map<string, string>();
  for (const [key, value] of Object.entries(entry)) {
    if (typeof value !== "string") throw headerInvalid(source, `has a __metadata__ whose ${quote(key)} is not text`);
    metadata.set(key, value);
  }
  return metadata;
}

function checkEntry(source: ByteSource, name: string, entry: unknown, start: number): StoredTensor {
  const fail = (
    code: "tensor-entry-invalid" | "tensor-dtype-unknown" | "tensor-out-of-file" | "tensor-size-mismatch",
    what: string,
  ) =>
    new WeightsError(code, `${source.name}: tensor ${quote(name)} ${what}`, {
      details: { file: source.name, tensor: name },
    });

  if (!isRecord(entry)) throw fail("tensor-entry-invalid", "is not described by an object");
  for (const key of Object.keys(entry)) {
    if (key !== "dtype" && key !== "shape" && key !== "data_offsets") {
      throw fail("tensor-entry-invalid", `has a key ${quote(key)} that the format does not know`);
    }
  }
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== "string") throw fail("tensor-entry-invalid", "has no dtype");
  if (!isDtype(dtype)) throw fail("tensor-dtype-unknown", `has the unknown dtype ${quote(dtype)}`);
  if (!isSizes(shape)) throw fail("tensor-entry-invalid", "has a shape that is not a list of sizes");
  if (!isSizes(offsets) || offsets.length !== 2) throw fail("tensor-entry-invalid", "has no pair of data offsets");

  const [begin, end] = offsets as [number, number];
  if (begin > end) throw fail("tensor-entry-invalid", `ends at ${end}, before it begins at ${begin}`);
  if (end > source.size - start) {
    throw fail("tensor-out-of-file", `ends at byte ${end} of ${source.size - start}: the file is truncated`);
  }
  const expected = shapeBytes(shape, dtype);
  if (expected !== end - begin) {
    throw fail(
      "tensor-size-mismatch",
      `has ${end - begin} bytes where ${dtype} [${shape.join(", ")}] takes ${expected ?? "more than any file holds"}`,
    );
  }
  return { name, dtype, shape, offset: start + begin, byteLength: end - begin };
}

/** Bytes of a tensor, or undefined when the number is no exact integer any more. */
function shapeBytes(shape: readonly number[], dtype: Dtype): number | undefined {
  if (shape.includes(0)) return 0;
  let bytes = dtypeBytes[dtype] as number;
  for (const size of shape) {
    bytes *= size;
    if (bytes > Number.MAX_SAFE_INTEGER) return undefined;
  }
  return bytes;
}

/** The tensors, in file order, must cover the data exactly: an overlap hides one tensor in another, a gap hides foreign bytes. */
function checkCover(source: ByteSource, tensors: readonly StoredTensor[], start: number): void {
  let end = start;
  let previous = "the header";
  for (const tensor of tensors) {
    if (tensor.offset < end) {
      throw new WeightsError("tensor-overlap", `${source.name}: tensor ${quote(tensor.name)} overlaps ${previous}`, {
        details: { file: source.name, tensor: tensor.name, offset: tensor.offset, end },
      });
    }
    if (tensor.offset > end) throw gap(source, end, tensor.offset, `before tensor ${quote(tensor.name)}`);
    end = tensor.offset + tensor.byteLength;
    previous = quote(tensor.name);
  }
  if (end !== source.size) throw gap(source, end, source.size, "at the end");
}

function gap(source: ByteSource, from: number, to: number, where: string): WeightsError {
  return new WeightsError("tensor-gap", `${source.name}: ${to - from} bytes ${where} belong to no tensor`, {
    details: { file: source.name, from, to },
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0 && !Object.is(size, -0));
}

/** A name from a file, made safe and short for a message. */
function quote(name: string): string {
  return JSON.stringify(name.length > 120 ? `${name.slice(0, 117)}...` : name);
}

/** A tensor to write. */
export interface TensorData {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Little-endian elements in row-major order. */
  readonly bytes: Uint8Array;
}

/**
 * A whole safetensors file. The same tensors give the same bytes, in whatever order they come: they are laid out widest type first,
 * then by name, as the reference writer does, so that every tensor is aligned to its elements.
 */
export function writeSafetensors(
  tensors: readonly TensorData[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const ordered = [...tensors].sort(
    (a, b) => dtypeBytes[b.dtype] - dtypeBytes[a.dtype] || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  );
  const header: [string, unknown][] = [];
  const texts = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1));
  if (texts.length > 0) header.push(["__metadata__", Object.fromEntries(texts)]);

  let end = 0;
  const names = new Set<string>();
  for (const { name, dtype, shape, bytes } of ordered) {
    if (names.has(name) || name === "__metadata__") throw new Error(`the tensor name ${quote(name)} is taken`);
    if (shapeBytes(shape, dtype) !== bytes.byteLength)
      throw new Error(`${quote(name)} does not have the bytes of its shape`);
    names.add(name);
    header.push([name, { dtype, shape, data_offsets: [end, end + bytes.byteLength] }]);
    end += bytes.byteLength;
  }

  // Not Object.fromEntries: it would move names that look like integers to the front, and lose `__proto__`.
  const json = `{${header.map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`).join(",")}}`;
  const text = new TextEncoder().encode(json);
  // The header is padded with spaces so that the tensors start on a multiple of eight bytes.
  const headerLength = Math.ceil(text.byteLength / 8) * 8;
  const file = new Uint8Array(lengthBytes + headerLength + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerLength), true);
  file.fill(0x20, lengthBytes, lengthBytes + headerLength);
  file.set(text, lengthBytes);
  let at = lengthBytes + headerLength;
  for (const { bytes } of ordered) {
    file.set(bytes, at);
    at += bytes.byteLength;
  }
  return file;
}
