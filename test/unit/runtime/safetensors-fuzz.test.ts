import { expect, it } from "vitest";
import { memorySource } from "../../../src/runtime/byte-source.js";
import { openSafetensors } from "../../../src/runtime/checkpoint.js";
import { bytesOf } from "../../../src/runtime/dtype.js";
import { WeightsError } from "../../../src/runtime/errors.js";
import { writeSafetensors } from "../../../src/runtime/safetensors.js";
import { randomNumbers } from "./random.js";

const mutations = 10_000;

const file = writeSafetensors(
  [
    { name: "wte", dtype: "F32", shape: [4, 2], bytes: bytesOf(new Float32Array(8).fill(0.5)) },
    { name: "norm", dtype: "BF16", shape: [3], bytes: bytesOf(new Uint16Array(3)) },
    { name: "ids", dtype: "I32", shape: [2], bytes: bytesOf(new Int32Array(2)) },
  ],
  { format: "pt" },
);

const splices = ["9999999999", "-1", "1e308", "null", "[]", "{", "}", '"', "\\u0000", '"F64"', ",", "0.5", '"wte":{},'];

/** One to three random edits: flipped bits, set bytes, cut tails, removed runs, spliced text. */
function mutate(random: (below: number) => number): Uint8Array {
  let bytes = [...file];
  for (let edits = 1 + random(3); edits > 0; edits--) {
    const at = random(Math.max(1, random(4) === 0 ? bytes.length : Math.min(bytes.length, 250)));
    switch (random(6)) {
      case 0:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
        break;
      case 1:
        bytes[at] = random(256);
        break;
      case 2:
        bytes = bytes.slice(0, at);
        break;
      case 3:
        bytes.splice(at, 1 + random(8));
        break;
      case 4:
        bytes.splice(at, random(4), ...new TextEncoder().encode(splices[random(splices.length)]!));
        break;
      default:
        bytes[random(8)] = random(256);
    }
  }
  return Uint8Array.from(bytes);
}

it(`reads or refuses each of ${mutations} damaged files, and asks for no byte that is not there`, async () => {
  const random = randomNumbers(20250424);
  const outcomes = new Map<string, number>();
  for (let round = 0; round < mutations; round++) {
    const bytes = mutate(random);
    const source = memorySource(bytes);
    const guarded = {
      ...source,
      read: async (offset: number, length: number) => {
        if (!(offset >= 0 && length >= 0 && offset + length <= bytes.length)) throw new Error("read outside the file");
        return source.read(offset, length);
      },
    };
    let outcome = "read";
    try {
      const checkpoint = await openSafetensors(guarded);
      for (const tensor of checkpoint.tensors.values()) {
        expect((await checkpoint.read(tensor)).length).toBe(tensor.byteLength);
      }
    } catch (error) {
      if (!(error instanceof WeightsError)) throw error;
      outcome = error.code;
    }
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  // The mutations must reach deep into the reader, not only break the JSON.
  expect([...outcomes.keys()].sort()).toEqual(
    expect.arrayContaining([
      "header-invalid",
      "header-truncated",
      "read",
      "tensor-entry-invalid",
      "tensor-size-mismatch",
    ]),
  );
});
