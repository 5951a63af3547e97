/** The Python loaders without a GPU: they compile, and they plan what the WebGPU loader plans. CuPy and PyTorch are not run here. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { evaluate } from "../../src/runtime/expr.js";
import type { KernelInfo, Manifest } from "../../src/runtime/manifest.js";
import { compileEmulated, emulatedDriver } from "../../src/runtime/node/emulated-cuda.js";
import { runCli, scratchFolder } from "../cli/run-cli.js";
import { compileCudaPackage } from "../support/cuda-package.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const python = join(root, "examples/plug-in/python");
const scratch = scratchFolder();
const examples = ["phd-cswa-3-16-32", "phd-swa-2-16", "vanilla", "alternating-windows"];

function run(...args: string[]): string {
  return execFileSync("python3", args, { encoding: "utf8", maxBuffer: 1 << 26 });
}

function hasPython(): boolean {
  try {
    run("--version");
    return true;
  } catch {
    console.info("Python is not installed, so its loaders are not compiled here");
    return false;
  }
}

interface Planned {
  readonly control: Int32Array;
  readonly calls: readonly {
    readonly kernel: string;
    readonly workgroups: readonly number[];
    readonly parameters: Readonly<Record<string, number>>;
    bound(name: string): string;
  }[];
}

interface Plan {
  readonly buffers: ReadonlyMap<string, number>;
  phase(kind: string, ids: readonly number[], start?: number): Planned;
}

function described({ control, calls }: Planned, { kernels }: Manifest): unknown {
  return {
    control: Array.from(control),
    calls: calls.map(({ kernel, workgroups, parameters, bound }) => {
      const info = kernels.find(({ name }) => name === kernel)!;
      return [kernel, workgroups, blockOf(info, parameters), info.bindings.map(({ name }) => bound(name))];
    }),
  };
}

function blockOf({ parameterBytes, parameters }: KernelInfo, values: Readonly<Record<string, number>>): string {
  const block = Buffer.alloc(parameterBytes);
  for (const { name, type, offset } of parameters) {
    if (type === "f32") block.writeFloatLE(values[name]!, offset);
    else if (type === "i32") block.writeInt32LE(values[name]!, offset);
    else block.writeUInt32LE(values[name]!, offset);
  }
  return block.toString("hex");
}

describe.skipIf(!hasPython())("the Python loaders", () => {
  beforeAll(async () => {
    for (const example of examples) {
      const { code, stderr } = await runCli([
        "compile",
        join(root, `examples/${example}.phd`),
        "-o",
        join(scratch, example),
      ]);
      expect(code, stderr).toBe(0);
    }
  });

  it.each(readdirSync(python).filter((file) => file.endsWith(".py")))("compile: %s", (file) => {
    const text = "import sys; compile(open(sys.argv[1]).read(), sys.argv[1], 'exec')";
    expect(run("-c", text, join(python, file))).toBe("");
  });

  it.each(examples)("plan the calls that the WebGPU loader plans for %s", async (example) => {
    const module = (await import(join(root, "examples/plug-in/webgpu/package.js"))) as {
      Plan: new (manifest: Manifest, sizes: { prompt: number; context: number }) => Plan;
    };
    const folder = join(scratch, example);
    const read = (file: string) => JSON.parse(readFileSync(join(folder, "selftest", file), "utf8"));
    const manifest: Manifest = read("manifest.json");
    const { ids, prefill }: { ids: number[]; prefill: number } = read("expected.json");
    const plan = new module.Plan(manifest, { prompt: prefill, context: ids.length });
    const phases = [plan.phase("prefill", ids.slice(0, prefill)), plan.phase("decode", [ids[prefill]!], prefill)];
    expect(JSON.parse(run(join(root, "test/plug-in/print_calls.py"), python, folder))).toEqual({
      buffers: Object.fromEntries(plan.buffers),
      phases: phases.map((phase) => described(phase, manifest)),
    });
  });

  it("run a CUDA package's self-test on the emulated device, weights in bf16", async () => {
    const folder = join(scratch, "cuda");
    await compileCudaPackage(folder, "bf16");
    // Compiling takes longest, so only what the two phases launch is compiled.
    const { phases } = JSON.parse(run(join(root, "test/plug-in/print_calls.py"), python, folder)) as {
      phases: { calls: [string, ...unknown[]][] }[];
    };
    const names = new Set(phases.flatMap(({ calls }) => calls.map(([kernel]) => kernel)));
    const text = (name: string) => readFileSync(join(folder, `selftest/kernels/${name}.cu`), "utf8");
    const texts = [...names].map((name) => [name, text(name)] as const);
    const image = await compileEmulated(new Map(texts));
    const script = join(root, "test/plug-in/run_on_driver.py");
    expect(run(script, python, folder, await emulatedDriver(), image)).toMatch(/^passed/);
  }, 600_000);

  it("attend as the model says, in the operator for a single layer", async () => {
    const folder = join(scratch, "cuda-f32");
    const example = join(root, "examples/phd-cswa-3-16-32.phd");
    const options = ["--target", "cuda", "--dtype", "f32", "--no-nvcc"];
    const { code, stderr } = await runCli(["compile", example, ...options, "-o", folder]);
    expect(code, stderr).toBe(0);
    const { kernels }: Manifest = JSON.parse(readFileSync(join(folder, "selftest/manifest.json"), "utf8"));
    const { entryPoint, file } = kernels.find(({ bindings }) => bindings.some(({ name }) => name === "attended"))!;
    const text = readFileSync(join(folder, "selftest", file), "utf8");
    const image = await compileEmulated(new Map([[entryPoint, text]]));
    const script = join(root, "test/plug-in/attend_on_driver.py");
    expect(run(script, python, folder, await emulatedDriver(), image)).toMatch(/^passed/);
  }, 600_000);

  it("evaluate formulas as the run time does", () => {
    const symbols = { n: 7, start: 2 };
    const formula = {
      op: "select",
      args: [{ op: "le", args: ["start", 3] }, { op: "mod", args: [{ op: "sub", args: ["start", "n"] }, 4] }, 0],
    } as const;
    const text =
      "import sys, json; sys.path.insert(0, sys.argv[1]); from phdc_package import evaluate; print(evaluate(*json.loads(sys.argv[2])))";
    expect(Number(run("-c", text, python, JSON.stringify([formula, symbols])))).toBe(evaluate(formula, symbols));
  });
});
