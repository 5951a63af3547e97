/** Sessions whose sequences go back to an earlier position and on from there. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadModel, type Model } from "../../../src/runtime/model.js";
import { findAdapter } from "../../../src/runtime/node/adapter.js";
import { type Device, openDevice } from "../../../src/runtime/webgpu/device.js";
import { denseLogits, type ToyOptions, toyCheckpoint, toyPackage, vocab } from "./toy-model.js";

let device: Device;
beforeAll(async () => {
  device = await openDevice((await findAdapter("software")).adapter);
});
afterAll(() => device.close());

async function load(options: ToyOptions): Promise<Model> {
  return loadModel(device, { ...toyPackage(options), checkpoint: await toyCheckpoint() });
}

/** Ids that look random and are not. */
function prompt(length: number, seed: number): number[] {
  return Array.from({ length }, (_, at) => (at * at * 7 + at * seed + seed * 5) % vocab);
}

describe.each<readonly [string, ToyOptions]>([
  ["a window over hidden tokens", { layers: 3, copies: 3, window: 5 }],
  ["hidden tokens that end with their step", { layers: 2, copies: 3, window: 0 }],
])("a model with %s", (_, options) => {
  it("goes on from any position to which a sequence is cut back as a fresh session does", async () => {
    const model = await load(options);
    const session = await model.openSession({ batch: 2, context: 30, slice: 4, poison: true });
    let texts = [prompt(9, 2), prompt(14, 5)];
    await session.prefill(texts);
    for (const [first, second] of [
      [9, 3],
      [0, 5],
      [4, 0],
      [7, 3],
    ] as const) {
      await session.cut([first, second]);
      expect(session.lengths).toEqual([first, second]);
      const more = [prompt(6, first + 3), prompt(2, second + 4)];
      texts = [first, second].map((length, sequence) => [...texts[sequence]!.slice(0, length), ...more[sequence]!]);
      const logits = [await session.prefill(more), await session.decode([1, 2])];
      texts = texts.map((ids, sequence) => [...ids, sequence + 1]);
      for (const [sequence, ids] of texts.entries()) {
        const dense = denseLogits(ids, options);
        expect(logits.map((ofStep) => [...ofStep[sequence]!])).toEqual(dense.slice(-2));
      }
    }
    session.close();
    model.close();
  });

  it("goes on from a cut with a single token, behind tokens that it sampled itself", async () => {
    const model = await load(options);
    const session = await model.openSession({ context: 30, slice: 4, poison: true });
    const greedy = { temperature: 0, topK: 0, topP: 1, seed: 0 };
    const ids = prompt(5, 3);
    const sampled = [await session.prefillAndSample([ids], greedy)];
    for (let step = 0; step < 6; step++) sampled.push(await session.decodeAndSample());
    // Nobody has waited for the tokens when the session needs to know them.
    await session.cut([9]);
    await expect(session.decodeAndSample()).rejects.toThrow("no sampled token");
    const [logits] = await session.decode([4]);
    const known = await Promise.all(sampled.map((wait) => wait()));
    const text = [...ids, ...known.flat().slice(0, 4), 4];
    expect([...logits!]).toEqual(denseLogits(text, options).at(-1));
    session.close();
    model.close();
  });

  it("refuses cuts that make no sense", async () => {
    const model = await load(options);
    const session = await model.openSession({ context: 10 });
    await session.prefill([[1, 2, 3]]);
    await expect(session.cut([4])).rejects.toThrow("sequence 0 has 3 positions and cannot be cut to 4");
    await expect(session.cut([-1])).rejects.toMatchObject({ name: "RequestError" });
    await expect(session.cut([1, 2])).rejects.toThrow("2 lengths are given and the session has 1 sequence");
    expect(session.lengths).toEqual([3]);
    session.close();
    model.close();
  });
});
