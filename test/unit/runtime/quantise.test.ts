import { describe, expect, it } from "vitest";
import { memorySource } from "../../../src/runtime/byte-source.js";
import { type Checkpoint, openSafetensors } from "../../../src/runtime/checkpoint.js";
import type { ComputeDevice, DeviceBuffer } from "../../../src/runtime/compute-device.js";
import { bytesOf, f32ToF16, toF32 } from "../../../src/runtime/dtype.js";
import type { Manifest, Quantisation, WeightInfo } from "../../../src/runtime/manifest.js";
import { findMisfits, planWeights, storedName } from "../../../src/runtime/packing.js";
import { asQuantised, dequantiseRows, quantisedGroups, quantiseRows } from "../../../src/runtime/quantise.js";
import { type TensorData, writeSafetensors } from "../../../src/runtime/safetensors.js";
import { uploadWeights } from "../../../src/runtime/upload.js";

/** Numbers with the distribution of trained weights: most small, some several times as large. */
function weights(count: number, seed = 1): Float32Array<ArrayBuffer> {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from({ length: count }, () => 0.02 * (next() + next() + next() + next() - 2));
}

const settings: readonly Quantisation[] = ([4, 8] as const).flatMap((bits) =>
  quantisedGroups.map((group) => ({ bits, group })),
);

describe.each(settings)("weights of $bits bits in groups of $group", (how) => {
  it("lie at most half a step from the floats that were in range, and a step where the largest was clipped", () => {
    for (const columns of [1, 15, 16, 100, 128, 129]) {
      const floats = weights(5 * columns);
      const found = asQuantised(floats, columns, how);
      for (let start = 0; start < floats.length; start += how.group) {
        const row = Math.floor(start / columns) * columns;
        if ((start - row) % how.group !== 0) continue;
        const group = floats.subarray(start, Math.min(start + how.group, row + columns));
        const largest = Math.max(...group.map(Math.abs));
        // The search clips by a quarter at most, which moves the largest weights by two steps of 4 bits.
        const step = largest / (2 ** (how.bits - 1) - 1);
        for (const [index, value] of group.entries()) {
          expect(Math.abs(found[start + index]! - value)).toBeLessThanOrEqual(step * (how.bits === 4 ? 1.7 : 0.52));
        }
      }
    }
  });

  it("keep zeros, and rows of zeros, as they are", () => {
    const floats = weights(3 * 40);
    floats.fill(0, 40, 80);
    floats[3] = 0;
    const found = asQuantised(floats, 40, how);
    expect(found[3]).toBe(0);
    expect([...found.subarray(40, 80)].every((value) => value === 0)).toBe(true);
  });

  it("show a weight that is no number instead of hiding it", () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const floats = weights(2 * how.group);
      floats[1] = bad;
      const found = asQuantised(floats, 2 * how.group, how);
      expect([...found.subarray(0, how.group)].every(Number.isNaN)).toBe(true);
      expect([...found.subarray(how.group)].some(Number.isNaN)).toBe(false);
    }
  });
});

describe("weights of 4 bits", () => {
  it("have a smaller squared error than plain rounding to the largest weight gives", () => {
    const floats = weights(256 * 64);
    const found = asQuantised(floats, 64, { bits: 4, group: 32 });
    let searched = 0;
    let plain = 0;
    for (let start = 0; start < floats.length; start += 32) {
      const group = floats.subarray(start, start + 32);
      const scale = Math.max(...group.map(Math.abs)) / 7;
      for (const [index, value] of group.entries()) {
        searched += (found[start + index]! - value) ** 2;
        plain += (Math.round(value / scale) * scale - value) ** 2;
      }
    }
    expect(searched).toBeLessThan(0.85 * plain);
  });

  it("stand eight to a word, the first in the lowest bits, and behind the end of a row stand zeros", () => {
    const scale = 0.5;
    const row = [-8, 7, 0, 1, -1, 2, 3, -4, 5, -6].map((q) => q * scale);
    const { values, scales } = quantiseRows(Float32Array.from([...row, ...row]), 10, { bits: 4, group: 16 });
    expect(values.length).toBe(4);
    const stored = (value: number, index: number) => (value / scale + 8) * 16 ** index;
    const first = row
      .slice(0, 8)
      .map(stored)
      .reduce((a, b) => a + b, 0);
    const second = [...row.slice(8), 0, 0, 0, 0, 0, 0].map(stored).reduce((a, b) => a + b, 0);
    expect([...values]).toEqual([first, second, first, second]);
    // 0.5 as bfloat16.
    expect([...scales]).toEqual([0x3f00, 0x3f00]);
  });
});

function info(
  part: "values" | "scales",
  rows: number,
  columns: number,
  how: Quantisation,
  sources: WeightInfo["sources"],
) {
  const element = part === "values" ? "u32" : "bf16";
  const quantised = { ...how, part };
  return { name: part, perLayer: false, element, rows, columns, sources, splittable: false, quantised } as const;
}

/** What the buffers of values and scales hold after an upload. */
async function uploaded(
  checkpoint: Checkpoint,
  rows: number,
  columns: number,
  how: Quantisation,
  sources: WeightInfo["sources"],
) {
  const infos = [info("values", rows, columns, how, sources), info("scales", rows, columns, how, sources)];
  const planned = planWeights({ weights: infos, model: { layers: 1 } } as unknown as Manifest, {
    maxBufferSize: 2 ** 40,
    maxStorageBufferBindingSize: 2 ** 40,
  });
  const buffers = new Map(planned.map((weight) => [weight, new Uint8Array(weight.parts[0]!.bytes)]));
  const device = {
    write: (buffer: Uint8Array, offset: number, bytes: Uint8Array) => {
      if (offset % 4 !== 0 || bytes.byteLength % 4 !== 0) throw new Error("a write is not in words of four bytes");
      buffer.set(bytes, offset);
    },
    settled: async () => undefined,
  } as unknown as ComputeDevice;
  await uploadWeights(device, planned, (weight) => [buffers.get(weight) as unknown as DeviceBuffer], checkpoint);
  const [values, scales] = planned.map((weight) => buffers.get(weight)!);
  return {
    values: new Uint32Array(values!.buffer).slice(0, rows * Math.ceil((columns * how.bits) / 32)),
    scales: new Uint16Array(scales!.buffer).slice(0, rows * Math.ceil(columns / how.group)),
  };
}

const open = (tensors: readonly TensorData[]) => openSafetensors(memorySource(writeSafetensors(tensors)));

describe("an upload of quantised weights", () => {
  it.each(settings)("packs stacked tensors of any width ($bits bits, groups of $group)", async (how) => {
    for (const columns of [1, 15, 40, 129]) {
      const q = weights(3 * columns, 2);
      const k = weights(5 * columns, 3);
      const checkpoint = await open([
        { name: "k", dtype: "F32", shape: [5, columns], bytes: bytesOf(k) },
        { name: "q", dtype: "F16", shape: [3, columns], bytes: bytesOf(f32ToF16(q)) },
      ]);
      const sources = [
        { tensor: "q", shape: [3, columns], row: 0 },
        { tensor: "k", shape: [5, columns], row: 3 },
      ];
      const halves = toF32(bytesOf(f32ToF16(q)), "F16");
      const expected = quantiseRows(Float32Array.from([...halves, ...k]), columns, how);
      expect(await uploaded(checkpoint, 8, columns, how, sources)).toEqual(expected);
    }
  });

  it("gives the same in pieces as at once, and pieces end where rows end", async () => {
    const [rows, columns] = [4500, 1000];
    const how = { bits: 4, group: 32 } as const;
    const floats = weights(rows * columns);
    const whole = await open([{ name: "w", dtype: "F32", shape: [rows, columns], bytes: bytesOf(floats) }]);
    const starts: number[] = [];
    const watched: Checkpoint = {
      ...whole,
      read: (tensor, start = 0, length) => {
        starts.push(start);
        return whole.read(tensor, start, length);
      },
    };
    const sources = [{ tensor: "w", shape: [rows, columns], row: 0 }];
    expect(await uploaded(watched, rows, columns, how, sources)).toEqual(quantiseRows(floats, columns, how));
    expect(starts.length).toBeGreaterThan(1);
    expect(starts.every((start) => start % (4 * columns) === 0)).toBe(true);
  });

  it("takes tensors that are quantised already, as packages carry them", async () => {
    const [rows, columns] = [6, 50];
    const how = { bits: 8, group: 16 } as const;
    const { values, scales } = quantiseRows(weights(rows * columns), columns, how);
    const checkpoint = await open([
      {
        name: storedName("w", { ...how, part: "values" }),
        dtype: "U32",
        shape: [rows, 13],
        bytes: bytesOf(values),
      },
      {
        name: storedName("w", { ...how, part: "scales" }),
        dtype: "BF16",
        shape: [rows, 4],
        bytes: bytesOf(scales),
      },
    ]);
    const sources = [{ tensor: "w", shape: [rows, columns], row: 0 }];
    expect(await uploaded(checkpoint, rows, columns, how, sources)).toEqual({ values, scales });
    expect(dequantiseRows({ values, scales }, columns, how).length).toBe(rows * columns);
  });

  it("refuses a tensor that is stored in another shape or type", async () => {
    const how = { bits: 4, group: 32 } as const;
    const sources = [{ tensor: "w", shape: [2, 64], row: 0 }];
    const misfits = async (dtype: "U32" | "I32", shape: readonly number[]) => {
      const name = storedName("w", { ...how, part: "values" });
      const bytes = bytesOf(new Uint32Array(shape.reduce((a, b) => a * b, 1)));
      const checkpoint = await open([{ name, dtype, shape, bytes }]);
      const planned = planWeights(
        { weights: [info("values", 2, 64, how, sources)], model: { layers: 1 } } as unknown as Manifest,
        { maxBufferSize: 2 ** 40, maxStorageBufferBindingSize: 2 ** 40 },
      );
      return findMisfits(planned, checkpoint).map(({ code }) => code);
    };
    expect(await misfits("U32", [2, 8])).toEqual([]);
    expect(await misfits("U32", [2, 7])).toEqual(["tensor-shape"]);
    expect(await misfits("I32", [2, 8])).toEqual(["tensor-dtype"]);
  });
});
