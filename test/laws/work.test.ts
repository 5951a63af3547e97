/** Work, counted: dispatches of a decode step, and the rows of a prefill against reachability over all pairs of tokens. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compileSource, type Program } from "../../src/compile.js";
import { importModel } from "../../src/import/import-model.js";
import type { AttentionSystem } from "../../src/passes/tokens/attention-system.js";
import type { Manifest } from "../../src/runtime/manifest.js";
import { planWeights } from "../../src/runtime/packing.js";
import { decodeContext, prefillContext, tilesOfPrefill } from "../../src/runtime/phase-context.js";
import { type Call, callsOfPhase, callsOfSampling } from "../../src/runtime/program.js";
import { prefillTable, type RowRange, type RowTable } from "../../src/runtime/rows.js";
import { rowModel, shapeSession } from "../../src/runtime/shape.js";
import { goldenCases, goldenFolder } from "../support/golden.js";
import { type Flags, liveByForce, prefillByForce, sightOf, steadyByForce } from "../unit/passes-tokens/brute-force.js";
import { blockOf, compileOptions, type PhdBlock, sourceOf, unnamed, usualBase } from "./small-models.js";

const limits = { maxBufferSize: 1 << 28, maxStorageBufferBindingSize: 1 << 27 };

/** Positions after a prompt that brute force looks at: more than any window or chunk here. */
const future = 34;

interface Subject {
  readonly name: string;
  readonly text: string;
}

const golden = goldenCases.map((name): Subject => {
  const config = { name: "config.json", text: readFileSync(join(goldenFolder, name, "config.json"), "utf8") };
  return { name, text: importModel(config, name).text! };
});
const small = (name: string, phd: PhdBlock): Subject => ({
  name,
  text: sourceOf({ ...usualBase, num_hidden_layers: 3 }, phd).text,
});
const own = [
  small("phd-swa-4-1", blockOf("phd-swa", { repeat: 4, window: 1 })),
  small("phd-swa-5-2", blockOf("phd-swa", { repeat: 5, window: 2 })),
  small("phd-cswa-2-1-3", blockOf("phd-cswa", { repeat: 2, window: 1, chunk: 3 })),
  small(
    "phd-cswa-3-2-5 in positions",
    blockOf("phd-cswa", { repeat: 3, window: 2, window_unit: "positions", chunk: 5 }),
  ),
  ...unnamed.map((attend) => small(attend, { variant: "phd", repeat: 3, attend })),
];

function compiled({ name, text }: Subject): Program {
  const { program, diagnostics } = compileSource({ name: `${name}.phd`, text }, compileOptions);
  // A relation of one's own may be warned about.
  expect(diagnostics.filter(({ severity }) => severity === "error")).toEqual([]);
  return program!;
}

const rangeCalls = (calls: readonly Call[], layer: number) => calls.filter((call) => call.layer === layer);

/** The tokens of a row range, as flags in stream order. */
function tokensOf({ words }: RowTable, { base, count }: RowRange, copies: number, length: number): Flags {
  const flags: Flags = new Array<boolean>(length).fill(false);
  for (let row = base; row < base + count; row++) {
    const at = words[4 * row + 1]! * copies + words[4 * row + 2]! - 1;
    expect(flags[at], "a token has one row").toBe(false);
    flags[at] = true;
  }
  return flags;
}

function expectDemandedRows(
  { manifest, facts }: Program,
  prompts: readonly (readonly [start: number, n: number])[],
): void {
  const system: AttentionSystem = facts.system;
  const { copies } = system;
  const horizon = Math.max(...prompts.map(([, n]) => n)) + future;
  const sight = sightOf(system, horizon);
  const steady = steadyByForce(system, sight, horizon);
  for (const [start, n] of prompts) {
    const expected = prefillByForce(system, sight, liveByForce(system, sight, steady, n), n, start);
    const ids = new Array<number>(n - start).fill(0);
    const table = prefillTable(rowModel(manifest), [{ sequence: 0, start, ids }]);
    const calls = prefillCalls(manifest, table, n, start);
    for (const [layer, { input, query }] of expected.entries()) {
      const at = `layer ${layer} of [${start}, ${n})`;
      expect(tokensOf(table, table.input(layer), copies, horizon * copies), at).toEqual(input);
      expect(tokensOf(table, table.query(layer), copies, horizon * copies), at).toEqual(query);
      // What kernels are told to work on: the rows that enter the layer, or those that leave it, and never more.
      const counts = new Set([count(input), count(query)]);
      for (const { step, parameters } of rangeCalls(calls, layer)) {
        const rows = parameters["row_count"];
        if (rows !== undefined) expect(counts, `${step} in ${at}`).toContain(rows);
      }
    }
    expect(table.output.count).toBe(1);
  }
}

const count = (flags: Flags) => flags.filter(Boolean).length;

function prefillCalls(manifest: Manifest, table: RowTable, n: number, start: number): Call[] {
  const shape = shapeSession(manifest, { context: n + future, slice: n }, limits);
  const parts = { manifest, weights: planWeights(manifest, limits) };
  return callsOfPhase(prefillContext(parts, shape, table, tilesOfPrefill(manifest, table), n, start), { head: true });
}

const prompts: readonly (readonly [number, number])[] = [
  [0, 1],
  [0, 2],
  [0, 9],
  [0, 31],
  [0, 32],
  [0, 33],
  [5, 6],
  [7, 20],
  [31, 33],
  [32, 36],
];

describe.each([...golden, ...own])("$name", (subject) => {
  const program = compiled(subject);
  const { manifest } = program;

  it("prefill computes the rows that some logit or some later step reaches, layer by layer, and no other", () => {
    expectDemandedRows(program, prompts);
  });

  it.each([1, 2, 5, 8, 16])("a decode step of %i sequences takes at most 6 dispatches in a layer", (batch) => {
    const shape = shapeSession(manifest, { batch, context: 64 }, limits);
    const context = decodeContext({ manifest, weights: planWeights(manifest, limits) }, shape);
    const calls = callsOfPhase(context, { head: true });
    for (let layer = 0; layer < manifest.model.layers; layer++) {
      expect(rangeCalls(calls, layer).length).toBeLessThanOrEqual(6);
    }
    const sampling = callsOfSampling(context, { temperature: 0, topK: 0, topP: 1, seed: 0 });
    const outside = calls.filter(({ layer }) => layer === undefined).length + sampling.length;
    expect(outside).toBeLessThanOrEqual(4);
  });
});

it.skipIf(golden.length === 0)("a layer of the golden models takes these dispatches per decode step", () => {
  const perLayer = golden.map((subject) => {
    const { manifest } = compiled(subject);
    const shape = shapeSession(manifest, { batch: 1, context: 64 }, limits);
    const context = decodeContext({ manifest, weights: planWeights(manifest, limits) }, shape);
    const calls = callsOfPhase(context, { head: true });
    return `${subject.name}: ${rangeCalls(calls, 0).length} a layer, ${calls.filter(({ layer }) => layer === undefined).length} beside`;
  });
  expect(perLayer.join("\n")).toMatchInlineSnapshot(`
    "naive-2: 5 a layer, 2 beside
    naive-3-interleaved: 5 a layer, 2 beside
    phd-2: 5 a layer, 2 beside
    phd-5: 6 a layer, 2 beside
    phd-cswa-2-16-32: 5 a layer, 2 beside
    phd-cswa-3-16-32-olmo2: 5 a layer, 3 beside
    phd-cswa-3-4-4: 5 a layer, 2 beside
    phd-cswa-4-6-9-qwen3: 5 a layer, 2 beside
    phd-swa-2-1: 5 a layer, 2 beside
    phd-swa-2-8-qwen2: 5 a layer, 2 beside
    phd-swa-3-16-long: 5 a layer, 2 beside
    phd-swa-3-4: 5 a layer, 2 beside
    phd-swa-3-4-positions: 5 a layer, 2 beside
    vanilla-llama: 5 a layer, 2 beside
    vanilla-llama3-rope: 5 a layer, 2 beside"
  `);
});
