import { expect, it } from "vitest";
import { BufferTable, plannedWeightBuffers } from "../../../src/runtime/buffers.js";
import { parseManifest } from "../../../src/runtime/check-manifest.js";
import { PhdcError } from "../../../src/runtime/errors.js";
import type { Manifest } from "../../../src/runtime/manifest.js";
import { planWeights } from "../../../src/runtime/packing.js";
import { decodeContext, prefillContext, tilesOfPrefill } from "../../../src/runtime/phase-context.js";
import { callsOfPhase, callsOfSampling } from "../../../src/runtime/program.js";
import { prefillTable } from "../../../src/runtime/rows.js";
import { type PlannedBuffer, rowModel, shapeSession } from "../../../src/runtime/shape.js";
import { compileSmall, usualBase } from "../../laws/small-models.js";
import { randomNumbers } from "./random.js";
import { toyPackage } from "./toy-model.js";

const mutations = 10_000;
/** These are ten times as large. */
const compiledMutations = 2_000;
const limits = { maxBufferSize: 1 << 28, maxStorageBufferBindingSize: 1 << 27 };

/** Everything a session does with a manifest up to the device. */
function plan(manifest: Manifest): void {
  const shape = shapeSession(manifest, { context: 20, slice: 8 }, limits);
  const weights = planWeights(manifest, limits);
  const parts = { manifest, weights };
  const table = prefillTable(rowModel(manifest), [{ sequence: 0, start: 4, ids: [1, 2, 3] }]);
  const prefill = prefillContext(parts, shape, table, tilesOfPrefill(manifest, table), 7, 4);
  const decode = decodeContext(parts, shape);
  const sample = { temperature: 1, topK: 0, topP: 1, seed: 0 };
  const buffers = new BufferTable(
    manifest,
    shape,
    asAllocated(plannedWeightBuffers(weights)),
    asAllocated(shape.buffers),
  );
  for (const call of [
    ...callsOfPhase(prefill, { head: true }),
    ...callsOfPhase(decode, { head: true }),
    ...callsOfSampling(decode, sample),
  ]) {
    for (const source of Object.values(call.bindings)) {
      buffers.find(source, { phase: "decode", layer: call.layer, part: call.part });
    }
  }
}

function asAllocated(planned: readonly PlannedBuffer[]): Map<string, GPUBuffer> {
  return new Map(planned.map(({ name, bytes }) => [name, { size: bytes } as GPUBuffer]));
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const strange: readonly Json[] = [
  null,
  true,
  -1,
  0,
  0.5,
  1e9,
  2 ** 53,
  1e300,
  "",
  "context",
  "__proto__",
  "no such thing",
  [],
  {},
  { op: "div", args: [1, 0] },
  { op: "sub", args: [0, "context"] },
  { op: "mul", args: ["context", 1e12] },
  { op: "pow", args: [1, 2] },
  { op: "add", args: [] },
];

/** Every place of a JSON value, as the object that holds it and the key. */
function placesOf(value: Json, into: [Json[] | { [key: string]: Json }, string][] = []) {
  if (typeof value !== "object" || value === null) return into;
  for (const key of Object.keys(value)) {
    into.push([value, key]);
    placesOf((value as { [key: string]: Json })[key]!, into);
  }
  return into;
}

/** One or two random edits: a strange value, a value from elsewhere, a removed or a repeated entry. */
function mutate(manifest: Manifest, random: (below: number) => number): string {
  const copy = JSON.parse(JSON.stringify(manifest)) as Json;
  for (let edits = 1 + random(2); edits > 0; edits--) {
    const places = placesOf(copy);
    const [holder, key] = places[random(places.length)]!;
    const at = holder as { [key: string]: Json };
    switch (random(5)) {
      case 0:
      case 1:
        at[key] = strange[random(strange.length)]!;
        break;
      case 2: {
        const [otherHolder, otherKey] = places[random(places.length)]!;
        at[key] = JSON.parse(JSON.stringify((otherHolder as { [key: string]: Json })[otherKey]!)) as Json;
        break;
      }
      case 3:
        if (Array.isArray(holder)) holder.splice(Number(key), 1);
        else delete at[key];
        break;
      default:
        if (Array.isArray(holder)) holder.push(at[key]!);
        else if (typeof at[key] === "number") at[key] = (at[key] as number) + random(5) - 2;
    }
  }
  return JSON.stringify(copy);
}

/** What becomes of `count` damaged copies of a manifest, and how often. */
function outcomesOf(manifest: Manifest, count: number): ReadonlyMap<string, number> {
  const random = randomNumbers(20250424);
  plan(parseManifest(JSON.stringify(manifest)));
  const outcomes = new Map<string, number>();
  for (let round = 0; round < count; round++) {
    const json = mutate(manifest, random);
    let outcome = "planned";
    try {
      plan(parseManifest(json));
    } catch (error) {
      if (!(error instanceof PhdcError)) throw new Error(`round ${round}: ${json}`, { cause: error });
      outcome = error.code;
    }
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  return outcomes;
}

it(`plans or refuses each of ${mutations} damaged manifests`, () => {
  const outcomes = outcomesOf(toyPackage({ layers: 2, copies: 3, window: 4 }).manifest, mutations);
  expect([...outcomes.keys()]).toEqual(expect.arrayContaining(["manifest-invalid", "out-of-memory", "planned"]));
});

it(`plans or refuses each of ${compiledMutations} damaged manifests that the compiler wrote`, () => {
  const block = { variant: "phd-cswa", repeat: 3, window: 4, chunk: 4 } as const;
  const outcomes = outcomesOf(compileSmall(usualBase, block).manifest, compiledMutations);
  expect([...outcomes.keys()]).toEqual(expect.arrayContaining(["manifest-invalid", "planned"]));
});

it.each([
  ["", "is not JSON"],
  ["[]", "must be an object"],
  ['{"format":"onnx"}', 'format: must be "phdc-package", and is "onnx"'],
  ['{"format":"phdc-package","version":99}', "version: must be 1, and is 99"],
])("refuses %j as %s", (json, message) => {
  expect(() => parseManifest(json)).toThrow(message);
});

it("names the place of what is wrong", () => {
  const { manifest } = toyPackage({ layers: 2, copies: 3, window: 4 });
  const damaged = JSON.parse(JSON.stringify(manifest)) as {
    phases: { decode: { after: { choices: { kernel: string }[] }[] } };
  };
  damaged.phases.decode.after[0]!.choices[0]!.kernel = "tail";
  expect(() => parseManifest(JSON.stringify(damaged))).toThrow(
    "phases.decode.after[0].choices[0].kernel: there is no kernel tail",
  );
});
