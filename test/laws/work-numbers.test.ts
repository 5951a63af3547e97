/**
 * The work of fixed models as golden numbers, counted from the calls that run: times are not tested, work is.
 *
 * `npx vitest run test/laws/work-numbers.test.ts -u` writes test/cases/work anew; read the difference before you keep it.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type CallWork, countWork, sumBytes } from "../../src/bench/count-work.js";
import { shapeSource } from "../../src/bench/shapes.js";
import { type CompileOptions, compileSource, type Program } from "../../src/compile.js";
import { importModel } from "../../src/import/import-model.js";
import { portableCapabilities } from "../../src/ir/kernel/capabilities.js";
import { planWeights } from "../../src/runtime/packing.js";
import { decodeContext, prefillContext, tilesOfPrefill } from "../../src/runtime/phase-context.js";
import { callsOfPhase } from "../../src/runtime/program.js";
import { prefillTable } from "../../src/runtime/rows.js";
import { rowModel, shapeSession } from "../../src/runtime/shape.js";
import { goldenCases, goldenFolder } from "../support/golden.js";
import { compileOptions } from "./small-models.js";

/** Of a device with large bindings: how matrices are bound in parts is no matter of work. */
const limits = { maxBufferSize: 2 ** 32, maxStorageBufferBindingSize: 2 ** 32 };
const halves: CompileOptions = {
  ...compileOptions,
  dtype: "f16",
  capabilities: { ...portableCapabilities, f16: true },
};

function compiled(name: string, text: string, options: CompileOptions): Program {
  const { program } = compileSource({ name: `${name}.phd`, text }, options);
  if (program === undefined) throw new Error(`${name} does not compile`);
  return program;
}

interface Work {
  readonly decode: readonly CallWork[];
  readonly prefill: readonly CallWork[];
}

/** A step that reads position n - 1 of one sequence, and a prompt of n positions. */
function workOf(program: Program, n: number): Work {
  const { manifest } = program;
  const shape = shapeSession(manifest, { context: 2 * n, slice: n }, limits);
  const weights = planWeights(manifest, limits);
  const parts = { manifest, weights };
  const table = prefillTable(rowModel(manifest), [{ sequence: 0, start: 0, ids: new Array<number>(n).fill(0) }]);
  const prefill = prefillContext(parts, shape, table, tilesOfPrefill(manifest, table), n, 0);
  const count = (phase: "prefill" | "decode", calls: ReturnType<typeof callsOfPhase>) =>
    countWork({ program, shape, weights, phase, n, calls });
  return {
    decode: count("decode", callsOfPhase(decodeContext(parts, shape), { head: true })),
    prefill: count("prefill", callsOfPhase(prefill, { head: true })),
  };
}

const heads = ["dispatches", "a layer", "rows", "weights", "keys", "activations"];

/** One line: calls, calls of the first layer, rows of all products together, and bytes. */
function numbersOf(works: readonly CallWork[]): string[] {
  const { weights, caches, activations } = sumBytes(works);
  const products = works.filter(({ call }) => call.parameters["column_count"] !== undefined);
  const rows = products.reduce((sum, work) => sum + work.rows, 0);
  const inLayer = works.filter(({ call }) => call.layer === 0).length;
  return [works.length, inLayer, rows, weights, caches, activations].map((number) => grouped(Math.round(number)));
}

const grouped = (number: number): string => String(number).replace(/\B(?=(\d{3})+$)/g, "_");

function tableOf(lines: readonly (readonly [name: string, numbers: readonly string[]])[]): string {
  const rows = [["", heads] as const, ...lines];
  const widths = heads.map((_, column) => Math.max(...rows.map(([, cells]) => cells[column]!.length)));
  const name = Math.max(...rows.map(([own]) => own.length));
  return rows
    .map(([own, cells]) => [own.padEnd(name), ...cells.map((cell, i) => cell.padStart(widths[i]!))].join("  "))
    .map((line) => `${line}\n`)
    .join("");
}

async function expectTables(file: string, models: readonly (readonly [name: string, program: Program, n: number])[]) {
  const works = models.map(([name, program, n]) => [name, workOf(program, n)] as const);
  for (const phase of ["decode", "prefill"] as const) {
    const table = tableOf(works.map(([name, work]) => [name, numbersOf(work[phase])]));
    await expect(table).toMatchFileSnapshot(`../cases/work/${file}.${phase}.txt`);
  }
  return works;
}

/** The paper's plans, at 1024 positions. */
const paperModels = (copies: readonly number[], options: CompileOptions) =>
  ["olmo2-550m", "olmo2-1.2b", "llama-1.2b"].flatMap((name) =>
    copies.map((repeat) => {
      const made = shapeSource(name, { variant: "phd-cswa", copies: repeat, window: 16, chunk: 32 });
      if ("wrong" in made) throw new Error(`${name} does not import`);
      return [`${name} K=${repeat}`, compiled(name, made.source.text, options), 1024] as const;
    }),
  );

describe("the work of a step and of a prompt is what it was", () => {
  it.skipIf(goldenCases.length === 0)("for the golden models: 64 positions", async () => {
    const models = goldenCases.map((name) => {
      const config = { name: "config.json", text: readFileSync(join(goldenFolder, name, "config.json"), "utf8") };
      return [name, compiled(name, importModel(config, name).text!, compileOptions), 64] as const;
    });
    await expectTables("golden", models);
  });

  it("for the paper's plans of 550M and 1.2B: 1024 positions, halves, K = 1, 2, 3, 5, 16", async () => {
    const works = await expectTables("paper", paperModels([1, 2, 3, 5, 16], halves));
    // Whatever K is, a step reads the same weights, once, in six dispatches a layer at most.
    for (const [name, { decode }] of works) {
      const family = name.split(" ")[0];
      const alone = works.find(([other]) => other === `${family} K=1`)![1].decode;
      expect(sumBytes(decode).weights, name).toBe(sumBytes(alone).weights);
      for (const layer of new Set(decode.map(({ call }) => call.layer))) {
        if (layer === undefined) continue;
        expect(decode.filter(({ call }) => call.layer === layer).length, name).toBeLessThanOrEqual(6);
      }
    }
  });

  it("for the same on CUDA's matrix units, in bf16: K = 1, 3, 16", async () => {
    const options = { dtype: "bf16", target: "cuda" } as const;
    await expectTables("paper-cuda-bf16", paperModels([1, 3, 16], options));
  });
});
