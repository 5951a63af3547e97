/** Where a package's weights come from: a safetensors file or folder, over the web or on disk, or the package's own packed weights. */
import { type ByteSource, memorySource } from "../../../runtime/byte-source.js";
import {
  type Checkpoint,
  type CheckpointTensor,
  openSafetensors,
  openShardedSafetensors,
} from "../../../runtime/checkpoint.js";
import { WeightsError } from "../../../runtime/errors.js";
import { fetchSource } from "../../../runtime/fetch-source.js";
import { fragmentLength, gatherFragments } from "../../../runtime/fragments.js";
import type { Manifest, WeightInfo } from "../../../runtime/manifest.js";
import { bytesOfRow, packedShape, planWeights, storedAs, storedName, tensorName } from "../../../runtime/packing.js";
import { elementBytes, unlimitedSizes } from "../../../runtime/shape.js";
import { readPackageText } from "./files.js";

/**
 * A checkpoint that is open already; the address (or, in Node and Deno, the path) of a `.safetensors` file or of a
 * `.safetensors.index.json` with its shards beside it; the bytes of a file; or `packed`: the weights in the package itself.
 */
export type WeightsInput = Checkpoint | string | URL | Uint8Array;

export async function openWeights(input: WeightsInput, manifest: Manifest): Promise<Checkpoint> {
  if (input === "packed") return openPacked(manifest);
  if (input instanceof Uint8Array) return openSafetensors(memorySource(input));
  if (typeof input === "object" && "tensors" in input) return input;
  const url = await resolve(input);
  if (!url.pathname.endsWith(".index.json")) return openSafetensors(await openUrl(url));
  const index = await openUrl(url);
  const text = new TextDecoder().decode(await index.read(0, index.size));
  await index.close();
  return openShardedSafetensors(text, (file) => openUrl(new URL(file, url)));
}

/** The functions of Node's modules that are needed; they are not there in a page, so their types may not be either. */
interface FileHandle {
  stat(): Promise<{ readonly size: number }>;
  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
  close(): Promise<void>;
}

async function resolve(input: string | URL): Promise<URL> {
  if (input instanceof URL) return input;
  if (/^[a-z][a-z0-9+.-]+:/i.test(input)) return new URL(input);
  const page = (globalThis as { readonly location?: { readonly href: string } }).location;
  if (page?.href.startsWith("http")) return new URL(input, page.href);
  const specifier = "node:url";
  const { pathToFileURL } = (await import(specifier)) as { pathToFileURL(path: string): URL };
  return pathToFileURL(input);
}

async function openUrl(url: URL): Promise<ByteSource> {
  if (url.protocol !== "file:") return fetchSource(url);
  const specifier = "node:fs/promises";
  const { open } = (await import(specifier)) as { open(path: URL): Promise<FileHandle> };
  let file: FileHandle;
  try {
    file = await open(url);
  } catch (cause) {
    throw new WeightsError("file-unreadable", `${url.pathname} cannot be read`, {
      details: { file: url.pathname },
      cause,
    });
  }
  return {
    name: url.pathname,
    size: (await file.stat()).size,
    read: async (offset, length) => {
      const bytes = new Uint8Array(length);
      for (let filled = 0; filled < length; ) {
        const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled);
        if (bytesRead === 0)
          throw new WeightsError("file-unreadable", `${url.pathname} became shorter while it was read`);
        filled += bytesRead;
      }
      return bytes;
    },
    close: () => file.close(),
  };
}

/**
 * The package's own weights as a checkpoint: a packed weight is rows of its source tensors one after the other, so each of these is a
 * run of bytes in a packed file.
 */
async function openPacked(manifest: Manifest): Promise<Checkpoint> {
  const files = [...new Set(manifest.weights.flatMap(({ packed = [] }) => packed.map(({ file }) => file)))];
  if (files.length === 0) {
    throw new WeightsError("file-unreadable", "the package carries no weights", {
      hint: "Compile with --weights to pack them, or give a .safetensors file.",
    });
  }
  const sources = await Promise.all(files.map((file) => openUrl(new URL(`../${file}`, import.meta.url))));
  const tensors = new Map<string, CheckpointTensor>();
  const fragments = new Map<string, FragmentPlace>();
  for (const { info, layer } of planWeights(manifest, unlimitedSizes)) {
    const packed = info.packed?.find((part) => part.layer === layer);
    if (packed === undefined) throw new WeightsError("tensor-absent", `the package carries no weight ${info.name}`);
    for (const { tensor, shape, row } of info.sources) {
      const name = info.quantised ? storedName(tensorName(tensor, layer), info.quantised) : tensorName(tensor, layer);
      const rowBytes = bytesOfRow(info);
      const place = { shard: files.indexOf(packed.file), offset: packed.offset + row * rowBytes };
      tensors.set(name, { name, ...storedKind(info, shape), byteLength: shape[0]! * rowBytes, ...place });
      if (info.layout === "fragments") fragments.set(name, { info, offset: packed.offset, row });
      else fragments.delete(name);
    }
  }
  return {
    tensors,
    files,
    read: (tensor, start = 0, length = tensor.byteLength - start) => {
      const source = sources[tensor.shard]!;
      const place = fragments.get(tensor.name);
      return place === undefined
        ? source.read(tensor.offset + start, length)
        : readFragments(source, place, start, length);
    },
    close: async () => {
      await Promise.all(sources.map((source) => source.close()));
    },
  };
}

/** Type and shape of a tensor as a packed weight holds it. */
function storedKind(info: WeightInfo, shape: readonly number[]): Pick<CheckpointTensor, "dtype" | "shape"> {
  if (info.quantised === undefined) return { dtype: storedAs(info.element), shape };
  const ofRow = bytesOfRow(info) / elementBytes[info.element];
  return { dtype: info.quantised.part === "values" ? "U32" : "BF16", shape: [shape[0]!, ofRow] };
}

/** A tensor whose packed weight is cut into tiles. */
interface FragmentPlace {
  readonly info: WeightInfo;
  /** Where the packed weight begins in its file. */
  readonly offset: number;
  /** First row of the tensor in it. */
  readonly row: number;
}

/** Bytes of a tensor as rows: reads the rows of tiles that hold them and picks them out. */
async function readFragments(
  source: ByteSource,
  { info, offset, row }: FragmentPlace,
  start: number,
  length: number,
): Promise<Uint8Array> {
  const { rowBytes } = packedShape(info);
  const ofRow = bytesOfRow(info);
  const first = row * ofRow + start;
  const firstRow = Math.floor(Math.floor(first / ofRow) / 16) * 16;
  const endRow = fragmentLength(Math.ceil((first + length) / ofRow));
  const tiles = await source.read(offset + firstRow * rowBytes, (endRow - firstRow) * rowBytes);
  return gatherFragments(info, tiles, first - firstRow * ofRow, length);
}

/** The package's manifest. */
export async function readManifest(): Promise<Manifest> {
  return JSON.parse(await readPackageText("manifest.json")) as Manifest;
}
