/**
 * The tensors of a model, from one safetensors file or from shards with an index, read in pieces as they are asked for.
 */
import type { ByteSource } from "./byte-source.js";
import type { Dtype } from "./dtype.js";
import { WeightsError } from "./errors.js";
import { readSafetensorsHeader } from "./safetensors.js";

/** A tensor of a checkpoint. */
export interface CheckpointTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** The file that holds it, by its place in the checkpoint's list of files. */
  readonly shard: number;
  /** Where its bytes start in that file. */
  readonly offset: number;
}

export interface Checkpoint {
  /** In file order, so that reading them in turn reads every file from front to back. */
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
  /** The names of its files, for messages. */
  readonly files: readonly string[];
  /** `length` bytes of a tensor from its byte `start`; the whole tensor when they are left out. */
  read(tensor: CheckpointTensor, start?: number, length?: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** What streaming has done so far; `bytes` of `totalBytes` are read. */
export interface LoadProgress {
  readonly bytes: number;
  readonly totalBytes: number;
  /** The tensor last read. */
  readonly tensor: string;
}

/** Opens a checkpoint of one file. */
export async function openSafetensors(source: ByteSource): Promise<Checkpoint> {
  return openShards([source]);
}

/**
 * Opens a checkpoint of several files.
 *
 * `indexText` is `model.safetensors.index.json`; `openShard` opens the file of that name beside it, or answers undefined where there
 * is none. Headers are read at once, so that a missing shard or tensor is known before any weight is read.
 */
export async function openShardedSafetensors(
  indexText: string,
  openShard: (file: string) => Promise<ByteSource | undefined>,
  indexName = "model.safetensors.index.json",
): Promise<Checkpoint> {
  const shardOf = parseIndex(indexText, indexName);
  const sources: ByteSource[] = [];
  try {
    for (const file of [...new Set(shardOf.values())].sort()) {
      const source = await openShard(file);
      if (source === undefined) {
        const tensors = [...shardOf].filter(([, shard]) => shard === file).map(([name]) => name);
        throw new WeightsError("shard-missing", `${indexName} names the shard ${file}, which is not there`, {
          details: { file, tensors: tensors.slice(0, 5), count: tensors.length },
          hint: "Download the missing file, or remove the index if the model is in one file.",
        });
      }
      sources.push(source);
    }
    return await openShards(sources, shardOf, indexName);
  } catch (error) {
    await Promise.all(sources.map((source) => source.close()));
    throw error;
  }
}

async function openShards(
  sources: readonly ByteSource[],
  shardOf?: ReadonlyMap<string, string>,
  indexName?: string,
): Promise<Checkpoint> {
  const tensors = new Map<string, CheckpointTensor>();
  for (const [shard, source] of sources.entries()) {
    for (const tensor of (await readSafetensorsHeader(source)).tensors) {
      const other = tensors.get(tensor.name);
      if (other !== undefined) {
        const files = [sources[other.shard]!.name, source.name];
        throw new WeightsError("tensor-duplicate", `tensor "${tensor.name}" is in ${files[0]} and in ${files[1]}`, {
          details: { tensor: tensor.name, files },
        });
      }
      tensors.set(tensor.name, { ...tensor, shard });
    }
  }
  for (const [name, file] of shardOf ?? []) {
    if (!tensors.has(name)) {
      throw new WeightsError(
        "tensor-absent",
        `${indexName} puts tensor "${name}" into ${file}, which does not hold it`,
        {
          details: { tensor: name, file },
        },
      );
    }
  }
  return {
    tensors,
    files: sources.map((source) => source.name),
    read: async (tensor, start = 0, length = tensor.byteLength - start) => {
      if (start < 0 || length < 0 || start + length > tensor.byteLength) {
        throw new Error(`bytes ${start} to ${start + length} lie outside tensor ${tensor.name}`);
      }
      return length === 0 ? new Uint8Array(0) : sources[tensor.shard]!.read(tensor.offset + start, length);
    },
    close: async () => {
      await Promise.all(sources.map((source) => source.close()));
    },
  };
}

/** Tensor name to shard file. A shard is a plain file name: an index must not reach outside its folder. */
function parseIndex(text: string, indexName: string): ReadonlyMap<string, string> {
  const fail = (what: string, cause?: unknown) =>
    new WeightsError("index-invalid", `${indexName} ${what}`, { details: { file: indexName }, cause });
  let index: unknown;
  try {
    index = JSON.parse(text);
  } catch (cause) {
    throw fail("is not JSON", cause);
  }
  const map =
    typeof index === "object" && index !== null ? (index as Record<string, unknown>)["weight_map"] : undefined;
  if (typeof map !== "object" || map === null || Array.isArray(map)) throw fail('has no object "weight_map"');
  const shardOf = new Map<string, string>();
  for (const [name, file] of Object.entries(map)) {
    if (typeof file !== "string" || !/^[\w][\w.-]*\.safetensors$/.test(file)) {
      throw fail(`puts tensor ${JSON.stringify(name)} into ${JSON.stringify(file)}, which is no name of a shard`);
    }
    shardOf.set(name, file);
  }
  if (shardOf.size === 0) throw fail("lists no tensors");
  return shardOf;
}

/**
 * Reads the named tensors whole, one after the other, shard by shard in file order whatever the order of `names`, and reports after
 * each. Names that the checkpoint lacks are the caller's to check first.
 */
export async function* streamTensors(
  checkpoint: Checkpoint,
  names: Iterable<string>,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (progress: LoadProgress) => void } = {},
): AsyncGenerator<{ readonly tensor: CheckpointTensor; readonly bytes: Uint8Array }> {
  const wanted = new Set(names);
  const tensors = [...checkpoint.tensors.values()].filter((tensor) => wanted.has(tensor.name));
  const totalBytes = tensors.reduce((total, tensor) => total + tensor.byteLength, 0);
  let bytes = 0;
  for (const tensor of tensors) {
    options.signal?.throwIfAborted();
    yield { tensor, bytes: await checkpoint.read(tensor) };
    bytes += tensor.byteLength;
    options.onProgress?.({ bytes, totalBytes, tensor: tensor.name });
  }
}
