import { describe, expect, it } from "vitest";
import { memorySource } from "../../../src/runtime/byte-source.js";
import { openSafetensors } from "../../../src/runtime/checkpoint.js";
import type { ComputeDevice } from "../../../src/runtime/compute-device.js";
import { bytesOf, f32ToBf16, roundToF16, toF32 } from "../../../src/runtime/dtype.js";
import { fragmentLength, fragmentPlace } from "../../../src/runtime/fragments.js";
import type { Element, Manifest, WeightInfo } from "../../../src/runtime/manifest.js";
import { type PackedWeight, planWeights, storedAs } from "../../../src/runtime/packing.js";
import { type TensorData, writeSafetensors } from "../../../src/runtime/safetensors.js";
import { uploadWeights } from "../../../src/runtime/upload.js";

/** A device whose buffers are bytes of the host, and whose queue refuses what WebGPU refuses. */
function hostDevice() {
  const memory = new Map<object, Uint8Array>();
  const queue = {
    writeBuffer: (buffer: object, offset: number, bytes: Uint8Array) => {
      if (offset % 4 !== 0 || bytes.byteLength % 4 !== 0) throw new Error("a write is not in words of four bytes");
      memory.get(buffer)!.set(bytes, offset);
    },
    onSubmittedWorkDone: async () => undefined,
  };
  const device = {
    write: queue.writeBuffer,
    settled: queue.onSubmittedWorkDone,
  } as unknown as ComputeDevice;
  const buffers = new Map<PackedWeight, GPUBuffer[]>();
  const buffersOf = (weight: PackedWeight) => {
    let own = buffers.get(weight);
    if (own === undefined) {
      own = weight.parts.map(({ bytes }) => {
        const buffer = {} as GPUBuffer;
        memory.set(buffer, new Uint8Array(bytes));
        return buffer;
      });
      buffers.set(weight, own);
    }
    return own;
  };
  return {
    device,
    buffersOf,
    bytesOf: (weight: PackedWeight) => buffersOf(weight).map((buffer) => memory.get(buffer)!),
  };
}

function weight(
  element: Element,
  rows: number,
  columns: number,
  sources: WeightInfo["sources"],
  more: Partial<WeightInfo> = {},
): WeightInfo {
  return { name: "w", perLayer: false, element, rows, columns, sources, splittable: false, ...more };
}

const unlimited = { maxBufferSize: 2 ** 40, maxStorageBufferBindingSize: 2 ** 40 };

/** Values of a packed weight's parts, one layer after the other, after an upload of the tensors. */
async function packed(
  info: WeightInfo,
  tensors: readonly TensorData[],
  { layers = 1, limits = unlimited } = {},
): Promise<number[][]> {
  const { device, buffersOf, bytesOf: bytesIn } = hostDevice();
  const manifest = { weights: [info], model: { layers } } as unknown as Manifest;
  const weights = planWeights(manifest, limits);
  await uploadWeights(device, weights, buffersOf, await openSafetensors(memorySource(writeSafetensors(tensors))));
  return weights.flatMap((planned) =>
    bytesIn(planned).map((bytes, part) => {
      const values = toF32(bytes.slice(), storedAs(info.element));
      return [...values.slice(0, planned.parts[part]!.rows * info.columns)];
    }),
  );
}

/** A row-major matrix of bf16 values in the order of fragments, padded with zeros. */
function inFragments(values: readonly number[], columns: number): number[] {
  const placed = new Array<number>(fragmentLength(values.length / columns) * fragmentLength(columns)).fill(0);
  values.forEach((value, index) => {
    placed[fragmentPlace(Math.floor(index / columns), index % columns, columns)] = value;
  });
  return placed;
}

const floats = (name: string, shape: readonly number[], values: readonly number[]): TensorData => ({
  name,
  dtype: "F32",
  shape,
  bytes: bytesOf(Float32Array.from(values)),
});

describe("packed weights", () => {
  it("stand one below the other in the order of their rows", async () => {
    const sources = [
      { tensor: "q", shape: [2, 2], row: 0 },
      { tensor: "k", shape: [1, 2], row: 2 },
    ];
    const tensors = [floats("k", [1, 2], [5, 6]), floats("q", [2, 2], [1, 2, 3, 4])];
    expect(await packed(weight("f32", 3, 2, sources), tensors)).toEqual([[1, 2, 3, 4, 5, 6]]);
  });

  it("are zero where a part may be absent", async () => {
    const sources = [
      { tensor: "bias", shape: [2], row: 0 },
      { tensor: "", shape: [2], row: 2, zeros: true },
    ];
    expect(await packed(weight("f32", 4, 1, sources), [floats("bias", [2], [7, 8])])).toEqual([[7, 8, 0, 0]]);
  });

  it("are rounded to f16 as they come, also where vectors end inside a word", async () => {
    const values = [0.1, -2.3, 1e-7, 70000, 5];
    const sources = [
      { tensor: "a", shape: [3], row: 0 },
      { tensor: "b", shape: [2], row: 3 },
    ];
    const tensors = [floats("a", [3], values.slice(0, 3)), floats("b", [2], values.slice(3))];
    expect(await packed(weight("f16", 5, 1, sources), tensors)).toEqual([values.map((value) => roundToF16(value))]);
  });

  it("are read from bf16 and f64", async () => {
    const sources = [
      { tensor: "a", shape: [2], row: 0 },
      { tensor: "b", shape: [2], row: 2 },
    ];
    const tensors: TensorData[] = [
      { name: "a", dtype: "BF16", shape: [2], bytes: bytesOf(f32ToBf16(Float32Array.of(1.5, -3))) },
      { name: "b", dtype: "F64", shape: [2], bytes: bytesOf(Float64Array.of(0.25, 1 / 3)) },
    ];
    expect(await packed(weight("f32", 4, 1, sources), tensors)).toEqual([[1.5, -3, 0.25, Math.fround(1 / 3)]]);
  });

  it("of the layers that have them take the names of their layers", async () => {
    const info = weight("f32", 1, 1, [{ tensor: "h.{l}.w", shape: [1, 1], row: 0 }], {
      perLayer: true,
      layers: [0, 2],
    });
    const tensors = [0, 1, 2].map((layer) => floats(`h.${layer}.w`, [1, 1], [layer + 10]));
    expect(await packed(info, tensors, { layers: 3 })).toEqual([[10], [12]]);
  });

  it("are split over buffers where one would exceed the limit, and only where the manifest allows it", async () => {
    const rows = 600;
    const values = Array.from({ length: rows * 2 }, (_, at) => at);
    const info = weight("f32", rows, 2, [{ tensor: "wte", shape: [rows, 2], row: 0 }], { splittable: true });
    const limits = { maxBufferSize: 2 ** 20, maxStorageBufferBindingSize: 300 * 8 };
    const parts = await packed(info, [floats("wte", [rows, 2], values)], { limits });
    expect(parts.map(({ length }) => length / 2)).toEqual([256, 256, 88]);
    expect(parts.flat()).toEqual(values);
    const whole = { weights: [{ ...info, splittable: false }], model: { layers: 1 } } as unknown as Manifest;
    expect(() => planWeights(whole, limits)).toThrow(
      "the weight w needs 4800 bytes in one buffer and the device allows 2400",
    );
  });

  it("are cut into tiles for matrix units, each matrix of a pair from a tile of its own on", async () => {
    const [rows, columns] = [5, 18];
    const matrix = (from: number) => Array.from({ length: rows * columns }, (_, at) => (from + at) % 100);
    const sources = [
      { tensor: "gate", shape: [rows, columns], row: 0 },
      { tensor: "up", shape: [rows, columns], row: 16 },
    ];
    const info = weight("bf16", 16 + rows, columns, sources, { layout: "fragments" });
    const { device, buffersOf, bytesOf: bytesIn } = hostDevice();
    const weights = planWeights({ weights: [info], model: { layers: 1 } } as unknown as Manifest, unlimited);
    const tensors = [floats("gate", [rows, columns], matrix(1)), floats("up", [rows, columns], matrix(50))];
    await uploadWeights(device, weights, buffersOf, await openSafetensors(memorySource(writeSafetensors(tensors))));
    const gap = new Array<number>((16 - rows) * columns).fill(0);
    const expected = inFragments([...matrix(1), ...gap, ...matrix(50)], columns);
    expect([...toF32(bytesIn(weights[0]!)[0]!, "BF16")]).toEqual(expected);
  });

  it("stream in pieces when a tensor is large", async () => {
    const rows = 5 * 1024 * 1024;
    const values = Float32Array.from({ length: rows }, (_, at) => at % 1000);
    const { device, buffersOf, bytesOf: bytesIn } = hostDevice();
    const info = weight("f16", rows, 1, [{ tensor: "big", shape: [rows], row: 0 }]);
    const weights = planWeights({ weights: [info], model: { layers: 1 } } as unknown as Manifest, unlimited);
    const file = writeSafetensors([{ name: "big", dtype: "F32", shape: [rows], bytes: bytesOf(values) }]);
    const progress: number[] = [];
    await uploadWeights(device, weights, buffersOf, await openSafetensors(memorySource(file)), {
      onProgress: ({ bytes, totalBytes }) => progress.push(bytes / totalBytes),
    });
    expect(progress).toEqual([0.8, 1]);
    expect(Buffer.compare(bytesOf(toF32(bytesIn(weights[0]!)[0]!, "F16")), bytesOf(values))).toBe(0);
  });

  it("stop streaming when the signal says so", async () => {
    const { device, buffersOf } = hostDevice();
    const info = weight("f32", 1, 1, [{ tensor: "a", shape: [1], row: 0 }]);
    const weights = planWeights({ weights: [info], model: { layers: 1 } } as unknown as Manifest, unlimited);
    const checkpoint = await openSafetensors(memorySource(writeSafetensors([floats("a", [1], [1])])));
    const signal = AbortSignal.abort();
    await expect(uploadWeights(device, weights, buffersOf, checkpoint, { signal })).rejects.toMatchObject({
      name: "AbortError",
    });
  });
});
