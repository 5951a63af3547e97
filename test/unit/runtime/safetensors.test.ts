import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type ByteSource, memorySource } from "../../../src/runtime/byte-source.js";
import {
  type Checkpoint,
  openSafetensors,
  openShardedSafetensors,
  streamTensors,
} from "../../../src/runtime/checkpoint.js";
import { bytesOf, dtypeBytes, toF32, toIntegers } from "../../../src/runtime/dtype.js";
import { type PhdcError, WeightsError } from "../../../src/runtime/errors.js";
import { openCheckpoint } from "../../../src/runtime/node/open-checkpoint.js";
import { readSafetensorsHeader, type TensorData, writeSafetensors } from "../../../src/runtime/safetensors.js";
import { shared, sharedIsAbsent } from "./shared-data.js";

/** A file of the given header text and data bytes; the announced length may lie. */
function fileOf(header: string, data = new Uint8Array(0), announced?: bigint): Uint8Array {
  const text = new TextEncoder().encode(header);
  const file = new Uint8Array(8 + text.length + data.length);
  new DataView(file.buffer).setBigUint64(0, announced ?? BigInt(text.length), true);
  file.set(text, 8);
  file.set(data, 8 + text.length);
  return file;
}

/** A source that refuses what no reader may ask for. */
function strictSource(bytes: Uint8Array, name = "model.safetensors"): ByteSource {
  const source = memorySource(bytes, name);
  return {
    ...source,
    read: async (offset, length) => {
      if (offset < 0 || length < 0 || offset + length > bytes.length) throw new Error("read outside the file");
      return source.read(offset, length);
    },
  };
}

async function refusal(file: Uint8Array): Promise<string> {
  try {
    await readSafetensorsHeader(strictSource(file));
  } catch (error) {
    if (error instanceof WeightsError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return "accepted";
}

const entry = (dtype: string, shape: unknown, begin: number, end: number) => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});
const header = (tensors: Record<string, unknown>) => JSON.stringify(tensors);

const sample: readonly TensorData[] = [
  { name: "model.norm.weight", dtype: "F32", shape: [3], bytes: bytesOf(Float32Array.of(1, 2, 3)) },
  { name: "ids", dtype: "I64", shape: [2], bytes: bytesOf(BigInt64Array.of(4n, 5n)) },
  { name: "half", dtype: "F16", shape: [1, 3], bytes: bytesOf(Uint16Array.of(0x3c00, 0x4000, 0)) },
  { name: "empty", dtype: "F32", shape: [0, 7], bytes: new Uint8Array(0) },
];

describe("a safetensors file", () => {
  it("gives back what was written", async () => {
    const checkpoint = await openSafetensors(strictSource(writeSafetensors(sample, { format: "pt" })));
    expect([...checkpoint.tensors.keys()].sort()).toEqual(["empty", "half", "ids", "model.norm.weight"]);
    const read = async (name: string) => checkpoint.read(checkpoint.tensors.get(name)!);
    expect([...toF32(await read("model.norm.weight"), "F32")]).toEqual([1, 2, 3]);
    expect(toIntegers(await read("ids"), "I64")).toEqual([4, 5]);
    expect([...toF32(await read("half"), "F16")]).toEqual([1, 2, 0]);
    expect((await read("empty")).length).toBe(0);
    expect(checkpoint.tensors.get("half")).toMatchObject({ dtype: "F16", shape: [1, 3] });
  });

  it("is written to the same bytes whatever the order of its tensors", () => {
    expect(writeSafetensors([...sample].reverse(), { b: "2", a: "1" })).toEqual(
      writeSafetensors(sample, { a: "1", b: "2" }),
    );
  });

  it("keeps its metadata and tensors with odd names", async () => {
    const odd = ["__proto__", "7", "constructor", 'quo"te\\', "Größe"];
    const tensors = odd.map((name): TensorData => ({ name, dtype: "U8", shape: [], bytes: Uint8Array.of(1) }));
    const read = await readSafetensorsHeader(strictSource(writeSafetensors(tensors, { format: "pt" })));
    expect(read.tensors.map((tensor) => tensor.name).sort()).toEqual([...odd].sort());
    expect(read.metadata).toEqual(new Map([["format", "pt"]]));
  });

  it("aligns every tensor to its elements", async () => {
    const { tensors } = await readSafetensorsHeader(strictSource(writeSafetensors(sample)));
    expect(tensors.filter(({ offset, dtype }) => offset % dtypeBytes[dtype] !== 0)).toEqual([]);
  });

  it("can be read in pieces", async () => {
    const checkpoint = await openSafetensors(strictSource(writeSafetensors(sample)));
    const tensor = checkpoint.tensors.get("model.norm.weight")!;
    expect([...toF32(await checkpoint.read(tensor, 4, 8), "F32")]).toEqual([2, 3]);
    await expect(checkpoint.read(tensor, 8, 8)).rejects.toThrow("outside");
  });
});

describe("a damaged safetensors file is refused with the reason", () => {
  const cases: readonly [what: string, file: Uint8Array, refusal: string][] = [
    ["no bytes", new Uint8Array(0), "header-truncated"],
    ["seven bytes", new Uint8Array(7), "header-truncated"],
    ["a header longer than the file", fileOf("{}", undefined, 3n), "header-truncated"],
    ["a header of 2^64 - 1 bytes", fileOf("{}", undefined, 2n ** 64n - 1n), "header-too-large"],
    ["a header of 2^53 bytes", fileOf("{}", undefined, 2n ** 53n), "header-too-large"],
    ["a header that is no JSON", fileOf("{"), "header-invalid"],
    ["a header that is no UTF-8", new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0, 0xff]), "header-invalid"],
    ["a header that is a list", fileOf("[]"), "header-invalid"],
    ["a header that is null", fileOf("null"), "header-invalid"],
    ["metadata that is no object", fileOf(header({ __metadata__: "x" })), "header-invalid"],
    ["metadata that is no text", fileOf(header({ __metadata__: { x: 1 } })), "header-invalid"],
    ["an entry that is a number", fileOf(header({ a: 1 })), "tensor-entry-invalid"],
    ["an entry without shape", fileOf(header({ a: { dtype: "F32", data_offsets: [0, 0] } })), "tensor-entry-invalid"],
    [
      "an entry with a foreign key",
      fileOf(header({ a: { ...entry("F32", [0], 0, 0), more: 1 } })),
      "tensor-entry-invalid",
    ],
    ["an unknown dtype", fileOf(header({ a: entry("F31", [0], 0, 0) })), "tensor-dtype-unknown"],
    ["a dtype named like a method", fileOf(header({ a: entry("toString", [0], 0, 0) })), "tensor-dtype-unknown"],
    ["a fractional size", fileOf(header({ a: entry("F32", [0.5], 0, 2) }), new Uint8Array(2)), "tensor-entry-invalid"],
    ["a negative size", fileOf(header({ a: entry("F32", [-1], 0, 4) }), new Uint8Array(4)), "tensor-entry-invalid"],
    ["a size of text", fileOf(header({ a: entry("F32", ["1"], 0, 4) }), new Uint8Array(4)), "tensor-entry-invalid"],
    [
      "sizes whose product overflows",
      fileOf(header({ a: entry("U8", [2 ** 40, 2 ** 40], 0, 0) })),
      "tensor-size-mismatch",
    ],
    [
      "sizes whose product wraps to the right size",
      fileOf(header({ a: entry("U8", [2 ** 32, 2 ** 32, 1], 0, 0) })),
      "tensor-size-mismatch",
    ],
    ["offsets in reverse", fileOf(header({ a: entry("F32", [1], 4, 0) }), new Uint8Array(4)), "tensor-entry-invalid"],
    [
      "three offsets",
      fileOf(header({ a: { dtype: "F32", shape: [1], data_offsets: [0, 2, 4] } }), new Uint8Array(4)),
      "tensor-entry-invalid",
    ],
    ["a tensor past the end", fileOf(header({ a: entry("F32", [2], 0, 8) }), new Uint8Array(4)), "tensor-out-of-file"],
    [
      "too few bytes for the shape",
      fileOf(header({ a: entry("F32", [2], 0, 4) }), new Uint8Array(4)),
      "tensor-size-mismatch",
    ],
    [
      "two tensors over the same bytes",
      fileOf(header({ a: entry("U8", [4], 0, 4), b: entry("U8", [2], 2, 4) }), new Uint8Array(4)),
      "tensor-overlap",
    ],
    [
      "bytes between tensors",
      fileOf(header({ a: entry("U8", [1], 0, 1), b: entry("U8", [2], 2, 4) }), new Uint8Array(4)),
      "tensor-gap",
    ],
    ["bytes after the last tensor", fileOf(header({ a: entry("U8", [1], 0, 1) }), new Uint8Array(4)), "tensor-gap"],
    [
      "a tensor listed twice",
      fileOf(
        '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}, "\\u0061" :{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        new Uint8Array(1),
      ),
      "tensor-duplicate",
    ],
    [
      "a dtype given twice",
      fileOf('{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', new Uint8Array(1)),
      "tensor-duplicate",
    ],
    [
      "a header nested ten thousand deep",
      fileOf(`{"a":${"[".repeat(10_000)}${"]".repeat(10_000)}}`),
      "tensor-entry-invalid",
    ],
  ];
  it.each(cases)("%s", async (_, file, code) => {
    expect(await refusal(file)).toMatch(new RegExp(`^${code}: `));
  });

  it("in words that name the tensor and the figures", async () => {
    expect(await refusal(fileOf(header({ "model.norm.weight": entry("F32", [2, 3], 0, 8) }), new Uint8Array(8)))).toBe(
      'tensor-size-mismatch: model.safetensors: tensor "model.norm.weight" has 8 bytes where F32 [2, 3] takes 24',
    );
  });

  it("without asking for more memory than the file has", async () => {
    const asked: number[] = [];
    const source = strictSource(fileOf("{}", new Uint8Array(10), 99_999_999n));
    const counting = {
      ...source,
      read: (offset: number, length: number) => {
        asked.push(length);
        return source.read(offset, length);
      },
    };
    await expect(readSafetensorsHeader(counting)).rejects.toThrow(WeightsError);
    expect(asked).toEqual([8]);
  });
});

describe("a checkpoint in shards", () => {
  const shard = (name: string, value: number) =>
    writeSafetensors([{ name, dtype: "F32", shape: [1], bytes: bytesOf(Float32Array.of(value)) }]);
  const files = new Map([
    ["a.safetensors", shard("wte", 1)],
    ["b.safetensors", shard("head", 2)],
  ]);
  const open = (weightMap: unknown, from = files) =>
    openShardedSafetensors(JSON.stringify({ metadata: { total_size: 8 }, weight_map: weightMap }), async (file) =>
      from.has(file) ? strictSource(from.get(file)!, file) : undefined,
    );
  const code = async (opening: Promise<Checkpoint>) =>
    opening.then(
      () => "accepted",
      (error: PhdcError) => error.code,
    );

  it("is one set of tensors", async () => {
    const checkpoint = await open({ head: "b.safetensors", wte: "a.safetensors" });
    expect([...checkpoint.tensors.keys()]).toEqual(["wte", "head"]);
    expect([...toF32(await checkpoint.read(checkpoint.tensors.get("head")!), "F32")]).toEqual([2]);
  });

  it("streams shard by shard, and tells how far it is", async () => {
    const checkpoint = await open({ head: "b.safetensors", wte: "a.safetensors" });
    const progress: string[] = [];
    for await (const { tensor } of streamTensors(checkpoint, ["head", "wte"], {
      onProgress: ({ bytes, totalBytes }) => progress.push(`${bytes}/${totalBytes}`),
    })) {
      progress.push(tensor.name);
    }
    expect(progress).toEqual(["wte", "4/8", "head", "8/8"]);
  });

  it("is refused when a shard is missing, and the message names it", async () => {
    await expect(open({ wte: "a.safetensors", x: "c.safetensors" })).rejects.toThrow("names the shard c.safetensors");
  });

  it("is refused when a listed tensor is in no shard", async () => {
    expect(await code(open({ wte: "a.safetensors", lost: "b.safetensors" }))).toBe("tensor-absent");
  });

  it("is refused when two shards hold the same tensor", async () => {
    const twice = new Map([...files, ["b.safetensors", shard("wte", 3)]]);
    expect(await code(open({ wte: "a.safetensors", other: "b.safetensors" }, twice))).toBe("tensor-duplicate");
  });

  it.each([[null], [[]], [{}], [{ a: 1 }], [{ a: "../secret.safetensors" }], [{ a: "/etc/passwd" }]])(
    "is refused when the index maps %j",
    async (map) => {
      expect(await code(open(map))).toBe("index-invalid");
    },
  );
});

describe.skipIf(sharedIsAbsent)("the trained models beside the project", () => {
  it("open with every tensor a Llama has", async () => {
    const checkpoint = await openCheckpoint(join(shared, "models/stories260k"));
    expect(checkpoint.tensors.get("model.embed_tokens.weight")).toMatchObject({ dtype: "F32", shape: [512, 64] });
    expect(checkpoint.tensors.size).toBe(2 + 5 * 9);
    await checkpoint.close();
  });

  it("say so when a folder holds no weights", async () => {
    await expect(openCheckpoint(join(shared, "spec"))).rejects.toThrow("holds no model.safetensors");
  });
});
