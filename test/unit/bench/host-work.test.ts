/** What the host does for a token, counted. */
import { expect, it } from "vitest";
import { greedy, heapOfSteps, runSteps } from "../../../src/bench/decode-steps.js";
import { nodeClocks } from "../../../src/bench/node/host-clocks.js";
import { ObservedDevice } from "../../../src/bench/observed-device.js";
import { randomCheckpoint } from "../../../src/bench/random-weights.js";
import { shapeSource } from "../../../src/bench/shapes.js";
import { median } from "../../../src/bench/statistics.js";
import { compileSource } from "../../../src/compile.js";
import { loadModel } from "../../../src/runtime/model.js";
import { findAdapter } from "../../../src/runtime/node/adapter.js";
import { openDevice } from "../../../src/runtime/webgpu/device.js";

it("submits a decode step once, writes nothing for it, reads four bytes, and allocates alike however long the text is", async () => {
  const made = shapeSource("llama-2x64", { variant: "phd-cswa", copies: 3, window: 16, chunk: 32 });
  if ("wrong" in made) throw new Error("the shape does not import");
  const { manifest, kernels } = compileSource(made.source, { target: "webgpu", dtype: "f32" }).program!;
  const texts = new Map(kernels.map(({ info, text }) => [info.file, text]));
  const { adapter } = await findAdapter("any");
  const device = new ObservedDevice(await openDevice(adapter));
  const checkpoint = randomCheckpoint(manifest, "F32");
  const model = await loadModel(device, { manifest, checkpoint, readText: async (file) => texts.get(file)! });
  try {
    const clocks = nodeClocks();
    const heap: number[] = [];
    for (const length of [4, 60]) {
      const session = await model.openSession({ context: 100 });
      await (await session.prefillAndSample([new Array<number>(length).fill(7)], greedy))();
      await runSteps(session, 3, clocks);
      device.forget();
      const { hostMs, ms } = await runSteps(session, 10, clocks);
      const { submissions, readBytes, writtenBytes, recorded } = device.observed;
      expect({ submissions, readBytes, writtenBytes, recorded: recorded.size }).toEqual({
        ...{ submissions: 10, readBytes: 40, writtenBytes: 0, recorded: 0 },
      });
      expect(hostMs).toHaveLength(10);
      expect(median(hostMs)).toBeGreaterThan(0);
      expect(median(hostMs)).toBeLessThan(ms);
      heap.push(await heapOfSteps(session, 9, clocks.heapBytes!));
      session.close();
    }
    const [short, long] = heap as [number, number];
    // A number per position would be 448 bytes more, on top of what the engine keeps beside.
    expect(long).toBeLessThan(short + 448);
  } finally {
    model.close();
    device.close();
  }
}, 400_000);
