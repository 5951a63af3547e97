import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Ajv } from "ajv";
import { beforeAll, describe, expect, it } from "vitest";
import type { Manifest } from "../../src/runtime/manifest.js";
import { readTensors } from "../cli/read-tensors.js";
import { runCli, scratchFolder } from "../cli/run-cli.js";
import { openBrowser } from "./browser.js";
import { type ExerciseResult, exerciseInDeno, exerciseInNode } from "./processes.js";
import { serve } from "./serve.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const example = join(root, "examples/phd-cswa-3-16-32.phd");
const weights = join(root, "examples/models/shakespeare-phd-cswa-3-16-32");
const scratch = scratchFolder();
const folder = join(scratch, "package");
const run = promisify(execFile);

/** "ROMEO:\n" and what the model says next, greedily. */
let prompt: readonly number[];
let continuation: readonly number[];
const maxTokens = 24;

beforeAll(async () => {
  const golden = await readTensors(join(weights, "golden.safetensors"));
  const ids = Array.from(golden.get("input_ids")!.values);
  prompt = ids.slice(0, 7);
  continuation = ids.slice(7, 7 + maxTokens);
  const { code, stderr } = await runCli(["compile", example, "--weights", weights, "-o", folder]);
  expect(stderr).toContain("Shakespeare");
  expect(code).toBe(0);
});

function filesOf(path: string, prefix = ""): string[] {
  return readdirSync(path, { withFileTypes: true })
    .flatMap((entry) =>
      entry.isDirectory() ? filesOf(join(path, entry.name), `${prefix}${entry.name}/`) : [`${prefix}${entry.name}`],
    )
    .sort();
}

function manifestOf(path: string): Manifest {
  return JSON.parse(readFileSync(path, "utf8")) as Manifest;
}

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
    for (const file of ["manifest.json", "selftest/manifest.json"]) {
      validate(manifestOf(join(folder, file)));
      expect(validate.errors ?? []).toEqual([]);
    }
    expect(validate({ ...manifestOf(join(folder, "manifest.json")), version: 99 })).toBe(false);
  });

  it("holds every file that its manifest names, with the hash it names", () => {
    const manifest = manifestOf(join(folder, "manifest.json"));
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
    expect(refused.stderr).toContain("holds files that are no earlier output");
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

describe("the same package runs", () => {
  function expectRight(result: ExerciseResult): void {
    expect(result).toMatchObject({ modelName: "Shakespeare", copies: 3, ids: continuation });
    expect(result.test.passed, `self-test differs by ${result.test.difference}`).toBe(true);
    expect(result.test.difference).toBeLessThan(1e-4);
    console.info(`ran on ${result.adapter}`);
  }

  it("in Node, through Dawn", async () => {
    expectRight(await exerciseInNode(folder, prompt, maxTokens));
  }, 400_000);

  it("in Deno, through wgpu", async () => {
    expectRight(await exerciseInDeno(folder, prompt, maxTokens));
  }, 400_000);

  it("in a browser, from a static page", async () => {
    const server = await serve(
      { package: folder, test: fileURLToPath(new URL(".", import.meta.url)) },
      { "/index.html": "<!doctype html><title>phdc</title>" },
    );
    const browser = await openBrowser();
    try {
      const page = await browser.newPage();
      await page.goto(`${server.url}/index.html`);
      // As text: a function would come with the test runner's own import in it.
      const result = await page.evaluate(`(async () => {
        const { exercise } = await import("/test/exercise.js");
        const adapter = await navigator.gpu.requestAdapter();
        return exercise(adapter, location.origin + "/package", ${JSON.stringify(prompt)}, ${maxTokens});
      })()`);
      expectRight(result as ExerciseResult);
    } finally {
      await browser.close();
      await server.close();
    }
  }, 400_000);
});

it("packs weights of the size that the manifest says", () => {
  const { weights: infos } = manifestOf(join(folder, "manifest.json"));
  const packed = infos.flatMap((info) => info.packed ?? []);
  const last = packed.reduce((a, b) => (a.offset > b.offset ? a : b));
  expect(statSync(join(folder, last.file)).size).toBeGreaterThanOrEqual(last.offset + last.bytes);
});
