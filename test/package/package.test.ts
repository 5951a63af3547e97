import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Ajv } from "ajv";
import { beforeAll, describe, expect, it } from "vitest";
import { openBrowser, serve } from "../../bench/peers/browser.mjs";
import { readTar } from "../../src/runtime/node/tar.js";
import { readTensors } from "../cli/read-tensors.js";
import { runCli, scratchFolder } from "../cli/run-cli.js";
import { filesOf, manifestOf } from "./package-folder.js";
import { type ExerciseResult, exerciseInDeno, exerciseInNode } from "./processes.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const example = join(root, "examples/phd-cswa-3-16-32.phd");
const weights = join(root, "examples/models/shakespeare-phd-cswa-3-16-32");
const scratch = scratchFolder();
const folder = join(scratch, "package");
const quantised = join(scratch, "quantised");
const int4 = ["--quantize", "int4"];
const run = promisify(execFile);

const promptText = "ROMEO:\n";
let prompt: readonly number[];
/** What the model says next, greedily, with weights as they are and with those of 4 bits. */
let continuation: readonly number[];
let quantisedContinuation: readonly number[];
const maxTokens = 24;

beforeAll(async () => {
  const golden = await readTensors(join(weights, "golden.safetensors"));
  const ids = Array.from(golden.get("input_ids")!.values);
  prompt = ids.slice(0, promptText.length);
  continuation = ids.slice(prompt.length, prompt.length + maxTokens);
  const { code, stderr } = await runCli(["compile", example, "--weights", weights, "-o", folder]);
  expect(stderr).toContain("Shakespeare");
  expect(code).toBe(0);
  expect((await runCli(["compile", example, "--weights", weights, ...int4, "-o", quantised])).code).toBe(0);
  const args = ["run", example, "--weights", weights, ...int4, "--device", "cpu", "--prompt", promptText, "--json"];
  const { stdout } = await runCli([...args, "--max-tokens", String(maxTokens)]);
  const { continuations } = JSON.parse(stdout) as { continuations: { ids: number[] }[] };
  quantisedContinuation = continuations[0]!.ids;
});

describe("a compiled package", () => {
  it("is the same to the byte when it is compiled again", async () => {
    const again = join(scratch, "again");
    await runCli(["compile", example, "--weights", weights, "-o", again]);
    expect(filesOf(again)).toEqual(filesOf(folder));
    for (const file of filesOf(folder)) {
      expect(readFileSync(join(again, file)).equals(readFileSync(join(folder, file))), file).toBe(true);
    }
  });

  it("has manifests that the published schema accepts", () => {
    const schema = JSON.parse(readFileSync(join(root, "schema/manifest.schema.json"), "utf8"));
    const validate = new Ajv({ allErrors: true, strict: false }).compile(schema);
    for (const file of ["manifest.json", "selftest/manifest.json"] as const) {
      validate(manifestOf(folder, file));
      expect(validate.errors ?? []).toEqual([]);
    }
    expect(validate({ ...manifestOf(folder), version: 99 })).toBe(false);
  });

  it("holds every file that its manifest names, with the hash it names", () => {
    const manifest = manifestOf(folder);
    const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
    for (const kernel of manifest.kernels) expect(hash(readFileSync(join(folder, kernel.file)))).toBe(kernel.sha256);
    for (const { packed = [], name } of manifest.weights) {
      expect(packed.length, name).toBeGreaterThan(0);
      for (const { file, offset, bytes, sha256 } of packed) {
        expect(hash(readFileSync(join(folder, file)).subarray(offset, offset + bytes)), name).toBe(sha256);
      }
    }
  });

  it("type-checks strictly, with and without WebGPU types around it", async () => {
    const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
    for (const types of [[], ["@webgpu/types"]]) {
      const project = join(scratch, `check-${types.length}`);
      mkdirSync(project, { recursive: true });
      if (types.length > 0) symlinkSync(join(root, "node_modules"), join(project, "node_modules"));
      const compilerOptions = {
        ...{ strict: true, noEmit: true, target: "es2022", module: "nodenext", moduleResolution: "nodenext", types },
        lib: ["es2023", "dom", "dom.iterable"],
      };
      writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["use.ts"] }));
      const adapter =
        types.length > 0
          ? "(await navigator.gpu.requestAdapter())!"
          : "{} as import('../package/runtime/platform.js').PlatformAdapter";
      writeFileSync(
        join(project, "use.ts"),
        `import { load, type Shakespeare } from "../package/model.js";
         export async function use(): Promise<Shakespeare> { return load(${adapter}, "model.safetensors"); }`,
      );
      const { stdout } = await run(process.execPath, [tsc, "-p", project]).catch(
        (error) => error as { stdout: string },
      );
      expect(stdout).toBe("");
    }
  });

  it("replaces an earlier package, and nothing else", async () => {
    const other = join(scratch, "notes");
    mkdirSync(other);
    writeFileSync(join(other, "diary.txt"), "dear diary");
    const refused = await runCli(["compile", example, "-o", other]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("holds diary.txt, which is no part of an earlier output");
    expect(readdirSync(other)).toEqual(["diary.txt"]);
    expect(readdirSync(scratch).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  it("is not written at all when its weights do not fit", async () => {
    const out = join(scratch, "misfit");
    const { code, stderr } = await runCli(["compile", example, "--weights", weights, "--set", "ffn=385", "-o", out]);
    expect(code).toBe(1);
    expect(stderr).toContain("has shape [384, 128] where the model has [385, 128]");
    expect(existsSync(out)).toBe(false);
  });
});

describe("the same package, of floats and of 4-bit weights, runs", () => {
  function expectRight(result: ExerciseResult, ids = continuation): void {
    expect(result).toMatchObject({ modelName: "Shakespeare", copies: 3, ids });
    expect(result.test.passed, `self-test differs by ${result.test.difference}`).toBe(true);
    expect(result.test.difference).toBeLessThan(1e-4);
    console.info(`ran on ${result.adapter}`);
  }

  // Quantised ones: quantised-package.test.ts.
  it("in Node, through Dawn", async () => {
    expectRight(await exerciseInNode(folder, prompt, maxTokens));
  }, 400_000);

  it("in Deno, through wgpu", async () => {
    expectRight(await exerciseInDeno(folder, prompt, maxTokens));
    expectRight(await exerciseInDeno(quantised, prompt, maxTokens), quantisedContinuation);
  }, 400_000);

  it("in a browser, from a static page", async () => {
    const server = await serve(
      { floats: folder, quantised, test: fileURLToPath(new URL(".", import.meta.url)) },
      { "/index.html": "<!doctype html><title>phdc</title>" },
    );
    const browser = await openBrowser(readTar);
    try {
      const page = await browser.newPage();
      await page.goto(`${server.url}/index.html`);
      // As text: a function would come with the test runner's own import in it.
      const run = (part: string) =>
        page.evaluate(`(async () => {
          const { exercise } = await import("/test/exercise.js");
          const adapter = await navigator.gpu.requestAdapter();
          return exercise(adapter, location.origin + "/${part}", ${JSON.stringify(prompt)}, ${maxTokens});
        })()`);
      expectRight((await run("floats")) as ExerciseResult);
      expectRight((await run("quantised")) as ExerciseResult, quantisedContinuation);
    } finally {
      await browser.close();
      await server.close();
    }
  }, 400_000);
});

it("packs weights of the size that the manifest says", () => {
  const { weights: infos } = manifestOf(folder);
  const packed = infos.flatMap((info) => info.packed ?? []);
  const last = packed.reduce((a, b) => (a.offset > b.offset ? a : b));
  expect(statSync(join(folder, last.file)).size).toBeGreaterThanOrEqual(last.offset + last.bytes);
});
