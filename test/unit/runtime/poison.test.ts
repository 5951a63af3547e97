/** Poison around keys of an odd number of halves, which begin and end within a word. */
import { expect, it } from "vitest";
import { compileSource } from "../../../src/compile.js";
import { ManifestRun } from "../../../src/interpret/kernel/run-manifest.js";
import { portableCapabilities } from "../../../src/ir/kernel/capabilities.js";
import type { ComputeDevice, DeviceBuffer } from "../../../src/runtime/compute-device.js";
import { Poison } from "../../../src/runtime/poison.js";
import { type PlannedBuffer, shapeSession, storeName } from "../../../src/runtime/shape.js";

const width = 5;
const text = `
use std.phd
model OneOddHead {
  param vocab = 7, dim = 6, width = ${width}, W = 2, K = 2
  repeat K
  attend q -> k when phd_swa(q, k, W)
  rotate t by t.pos
  forward(ids: [positions] int) -> [positions, vocab] {
    var x = repeat(embed(ids, weight "embed" [vocab, dim]))
    for l in 1 within "layers.{l}" {
      let q = split(linear(x, weight "q" [width, dim]), 1)
      let k = split(linear(x, weight "k" [width, dim]), 1)
      x += linear(merge(attention(q, k, split(linear(x, weight "v" [width, dim]), 1))), weight "o" [dim, width])
    }
    predict copy K: linear(x, weight "embed" [vocab, dim])
  }
}`;

function compiled() {
  const capabilities = { ...portableCapabilities, f16: true };
  const { program, diagnostics } = compileSource(
    { name: "one-odd-head.phd", text },
    { target: "webgpu", dtype: "f16", capabilities },
  );
  expect(diagnostics).toEqual([]);
  return program!;
}

it("fills whole words of dead keys and nothing of live ones", async () => {
  const { manifest } = compiled();
  const unlimited = { maxBufferSize: 2 ** 40, maxStorageBufferBindingSize: 2 ** 40 };
  const shape = shapeSession(manifest, { batch: 2, context: 8 }, unlimited);
  const buffer = (size: number): DeviceBuffer => ({ size, destroy: () => {} });
  const allocate = async (planned: readonly PlannedBuffer[]) =>
    new Map(planned.map(({ name, bytes }) => [name, buffer(bytes)]));
  const buffers = await allocate(shape.buffers);
  const device = { allocate, write: () => {} } as unknown as ComputeDevice;
  const poison = await Poison.open(device, manifest, shape, buffers);

  // A ring of two keys for each of two sequences, and room for one more of a step.
  const store = buffers.get(storeName(0, "hidden"))!;
  const slots = 3;
  const keyBytes = 2 * width;
  const filled = new Set<number>();
  for (const command of poison.phase([], [5, 3])) {
    if (command.kind !== "copy") continue;
    expect([command.offset % 4, command.bytes % 4]).toEqual([0, 0]);
    if (command.target !== store) continue;
    for (let at = 0; at < command.bytes; at++) filled.add(command.offset + at);
  }
  const wholeWords: number[] = [];
  for (const half of [0, 1]) {
    for (const [sequence, length] of [5, 3].entries()) {
      const first = ((half * 2 + sequence) * slots + (length % slots)) * keyBytes;
      for (let at = first; at < first + keyBytes; at++) {
        const word = at - (at % 4);
        if (word >= first && word + 4 <= first + keyBytes) wholeWords.push(at);
      }
    }
  }
  expect([...filled].sort((a, b) => a - b)).toEqual(wholeWords);
});

it("leaves the logits as they are, to the bit", () => {
  const { manifest, kernelPrograms } = compiled();
  const tensor = (name: string) => Array.from({ length: 42 }, (_, at) => Math.sin(at * 7 + name.length));
  const logits = (poison?: number) => {
    const options = { context: 12, slice: 3, ...(poison !== undefined && { poison }) };
    const run = new ManifestRun(
      manifest,
      kernelPrograms,
      (name) => tensor(name).slice(0, name.includes("embed") ? 42 : 30),
      options,
    );
    return [run.prefill([[1, 2, 3, 4, 5, 6, 0]]), run.decode([3]), run.decode([5])];
  };
  expect(logits(6e4)).toEqual(logits());
});
