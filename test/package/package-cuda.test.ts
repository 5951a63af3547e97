/** Packages for CUDA: what they hold, and that they run in plain Node, on the emulated device where there is no other. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Ajv } from "ajv";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { NoAdapter } from "../../src/runtime/errors.js";
import type { Manifest } from "../../src/runtime/manifest.js";
import { compileEmulated, emulatedDriver } from "../../src/runtime/node/emulated-cuda.js";
import { findNvcc } from "../../src/runtime/node/nvcc.js";
import { koffiVersion } from "../../src/version.js";
import { readTensors } from "../cli/read-tensors.js";
import { runCli, scratchFolder } from "../cli/run-cli.js";
import { filesOf, manifestOf } from "./package-folder.js";
import { type CompiledTexts, exerciseOnCuda } from "./processes.js";

// Compilers of the host and of the device; machines that run the tests are often busy.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

const root = fileURLToPath(new URL("../..", import.meta.url));
const example = join(root, "examples/phd-cswa-3-16-32.phd");
const weights = join(root, "examples/models/shakespeare-phd-cswa-3-16-32");
const scratch = scratchFolder();
const folder = join(scratch, "package");
const run = promisify(execFile);
const nvcc = await findNvcc();
if (nvcc === undefined) console.warn("there is no nvcc: machine code in packages is not tested");

const compile = (output: string, ...more: string[]) =>
  runCli(["compile", example, "--target", "cuda", "-o", output, ...more]);

beforeAll(async () => {
  const { code, stderr } = await compile(folder, "--weights", weights, "--no-nvcc");
  expect(stderr).toContain("Shakespeare");
  expect(code).toBe(0);
});

describe("a package for CUDA", () => {
  it("is the same to the byte when it is compiled again", async () => {
    const again = join(scratch, "again");
    await compile(again, "--weights", weights, "--no-nvcc");
    expect(filesOf(again)).toEqual(filesOf(folder));
    for (const file of filesOf(folder)) {
      expect(readFileSync(join(again, file)).equals(readFileSync(join(folder, file))), file).toBe(true);
    }
  });

  it("has manifests that the published schema accepts, and needs what every device of the target offers", () => {
    const schema = JSON.parse(readFileSync(join(root, "schema/manifest.schema.json"), "utf8"));
    const validate = new Ajv({ allErrors: true, strict: false }).compile(schema);
    for (const part of [folder, join(folder, "selftest")]) {
      validate(manifestOf(part));
      expect(validate.errors ?? []).toEqual([]);
    }
    expect(manifestOf(folder)).toMatchObject({
      target: "cuda",
      modules: { headers: [{ file: "kernels/phdc.cuh" }] },
      requires: { features: ["dependent-launch", "subgroups"], limits: { computeCapability: 80 } },
    });
  });

  it("holds no kernel of another language, no WebGPU, and asks for koffi at the version it is tested with", () => {
    const { kernels } = manifestOf(folder);
    expect(new Set(kernels.map(({ language }) => language))).toEqual(new Set(["cuda"]));
    const files = filesOf(folder);
    expect(files.filter((file) => /wgsl|webgpu|gpu-types/.test(file))).toEqual([]);
    for (const file of files.filter((name) => name.startsWith("runtime/") || name.startsWith("model."))) {
      expect(readFileSync(join(folder, file), "utf8"), file).not.toMatch(/GPUDevice|navigator\.gpu|from "node:/);
    }
    const { dependencies } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    expect(dependencies).toEqual({ koffi: koffiVersion });
    const own = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    expect(own.dependencies.koffi).toBe(koffiVersion);
  });

  it("tells in its README how it is opened and how kernels are called", () => {
    const readme = readFileSync(join(folder, "README.md"), "utf8");
    expect(readme).toContain("const device = openDevice();");
    expect(readme).toContain('A kernel is an `extern "C"` function');
    expect(readme).not.toMatch(/navigator|WebGPU/);
  });

  it("type-checks strictly", async () => {
    const project = join(scratch, "check");
    mkdirSync(project);
    symlinkSync(join(root, "node_modules"), join(scratch, "node_modules"));
    const compilerOptions = {
      ...{ strict: true, noEmit: true, target: "es2022", module: "nodenext", moduleResolution: "nodenext", types: [] },
      // koffi's own declarations use names of Node.
      ...{ lib: ["es2023", "dom", "dom.iterable"], skipLibCheck: true },
    };
    writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["use.ts"] }));
    writeFileSync(
      join(project, "use.ts"),
      `import { load, openDevice, type Shakespeare } from "../package/model.js";
       export async function use(): Promise<Shakespeare> { return load(openDevice(), "model.safetensors"); }`,
    );
    const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
    const { stdout } = await run(process.execPath, [tsc, "-p", project]).catch((error) => error as { stdout: string });
    expect(stdout).toBe("");
  });
});

describe("validation of a package", () => {
  const validate = (path: string) => runCli(["inspect", path, "--validate"]);
  const damaged = join(scratch, "damaged");

  /** What is said of a copy of the package after something was done to it. */
  async function afterDamage(damage: (path: string) => void): Promise<string> {
    rmSync(damaged, { recursive: true, force: true });
    cpSync(folder, damaged, { recursive: true });
    damage(damaged);
    const { code, stdout } = await validate(damaged);
    expect(code).toBe(1);
    expect(stdout).toContain("The package is not valid.");
    return stdout;
  }

  /** Kernels do not compile without it, so nvcc is not asked: it takes long. */
  const withoutHeader = (path: string) => rmSync(join(path, "kernels/phdc.cuh"));

  it("finds a file that is missing", async () => {
    const [{ file }] = manifestOf(folder).kernels as [Manifest["kernels"][number]];
    expect(await afterDamage((path) => rmSync(join(path, file)))).toContain(`${file} is missing`);
  });

  it("finds packed weights that are damaged, and says which", async () => {
    const weight = manifestOf(folder).weights.find(({ perLayer }) => perLayer)!;
    const piece = weight.packed!.find(({ layer }) => layer === 2)!;
    const stdout = await afterDamage((path) => {
      const bytes = readFileSync(join(path, piece.file));
      bytes[piece.offset]! ^= 1;
      writeFileSync(join(path, piece.file), bytes);
      withoutHeader(path);
    });
    expect(stdout).toContain(`${weight.name} of layer 2 in ${piece.file} is damaged`);
  });

  it("finds a kernel that is called otherwise than it is written", async () => {
    const stdout = await afterDamage((path) => {
      const manifest = manifestOf(path);
      const [kernel, ...others] = manifest.kernels as [Manifest["kernels"][number]];
      const other = { ...kernel, workgroupSize: [7, 1, 1] };
      const text = JSON.stringify({ ...manifest, kernels: [other, ...others] });
      writeFileSync(join(path, "manifest.json"), text);
      withoutHeader(path);
    });
    expect(stdout).toMatch(/the manifest says the number of threads is 7, the text \d+/);
  });
});

describe.skipIf(nvcc === undefined)("where nvcc is on the path, a package", () => {
  it("holds machine code and PTX with the hashes that its manifest names, and is valid", async () => {
    const compiled = join(scratch, "compiled");
    expect((await compile(compiled, "--dtype", "bf16")).code).toBe(0);
    const hash = (file: string) =>
      createHash("sha256")
        .update(readFileSync(join(compiled, file)))
        .digest("hex");
    const { fatbin, ptx } = manifestOf(compiled).modules!;
    expect(hash(fatbin!.file)).toBe(fatbin!.sha256);
    expect(hash(ptx!.file)).toBe(ptx!.sha256);
    const text = readFileSync(join(compiled, ptx!.file), "utf8");
    expect(text).toContain(`.version ${ptx!.version}`);
    expect(text).toContain(".target sm_80");
    for (const { entryPoint } of manifestOf(compiled).kernels) expect(text).toContain(`.entry ${entryPoint}(`);
    const { code, stdout } = await runCli(["inspect", compiled, "--validate"]);
    expect(stdout).toContain("The package is valid.");
    expect(code).toBe(0);
  });
});

describe("on the emulated device in Node", () => {
  const golden = readTensors(join(weights, "golden.safetensors"));
  const promptText = "ROMEO:\n";
  const maxTokens = 8;

  /** Runs a package on "ROMEO:\n". Its kernels and those of its self-test are compiled before. */
  async function exercise(path: string, skip: (note: string) => never) {
    const driver = await emulatedDriver().catch((error: unknown) => {
      if (!(error instanceof NoAdapter)) throw error;
      console.warn(error.message);
      return skip(error.message);
    });
    const compiled: CompiledTexts[] = [];
    for (const part of [path, join(path, "selftest")]) {
      const { kernels } = manifestOf(part);
      const texts = Object.fromEntries(kernels.map(({ name, file }) => [name, readFileSync(join(part, file), "utf8")]));
      compiled.push({ file: await compileEmulated(new Map(Object.entries(texts))), texts });
    }
    const ids = Array.from((await golden).get("input_ids")!.values).slice(0, promptText.length);
    const result = await exerciseOnCuda(path, ids, maxTokens, driver, compiled);
    console.info(`ran on ${result.adapter}`);
    return result;
  }

  it("the same package runs, and leaves nothing with the driver", async ({ skip }) => {
    const result = await exercise(folder, skip);
    const ids = Array.from((await golden).get("input_ids")!.values);
    const continuation = ids.slice(promptText.length, promptText.length + maxTokens);
    expect(result).toMatchObject({ modelName: "Shakespeare", copies: 3, ids: continuation, left: {} });
    expect(result.test.passed, `self-test differs by ${result.test.difference}`).toBe(true);
    expect(result.test.difference).toBeLessThan(1e-4);
  });

  it.for(["f32", "bf16"])(
    "a package of 4-bit weights runs in %s, and says what the interpreter says",
    async (dtype, { skip }) => {
      const path = join(scratch, `int4-${dtype}`);
      const int4 = ["--quantize", "int4"];
      const made = await compile(path, "--weights", weights, "--no-nvcc", "--dtype", dtype, ...int4);
      expect(made.code).toBe(0);
      const result = await exercise(path, skip);
      expect(result).toMatchObject({ modelName: "Shakespeare", copies: 3, left: {} });
      expect(result.test.passed, `self-test differs by ${result.test.difference}`).toBe(true);
      const args = ["run", example, "--weights", weights, ...int4, "--device", "cpu", "--prompt", promptText, "--json"];
      const { stdout } = await runCli([...args, "--max-tokens", String(maxTokens)]);
      const { continuations } = JSON.parse(stdout) as { continuations: { ids: number[] }[] };
      expect(result.ids).toEqual(continuations[0]!.ids);
    },
  );
});
