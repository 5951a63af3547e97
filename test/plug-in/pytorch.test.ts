/**
 * What phdc has in PyTorch, without a GPU: the operators of a package on the emulated device, and the peer of the benchmarks against golden
 * logits. PHDC_PYTHON names a Python that has PyTorch, python3 when left out.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { Manifest } from "../../src/runtime/manifest.js";
import { compileEmulated, emulatedDriver } from "../../src/runtime/node/emulated-cuda.js";
import { runCli, scratchFolder } from "../cli/run-cli.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const loader = join(root, "examples/plug-in/python");
const peer = join(root, "bench/peers/pytorch.py");
const goldens = join(root, "../shared/golden");
const [python = "python3", ...before] = (process.env.PHDC_PYTHON ?? "python3").split(" ");
const scratch = scratchFolder();

/** What a command writes; an error with all of it where the command fails. */
function run(...args: string[]): string {
  try {
    return execFileSync("/bin/sh", ["-c", '"$0" "$@" 2>&1', python, ...before, ...args], {
      encoding: "utf8",
      maxBuffer: 1 << 26,
    });
  } catch (error) {
    throw new Error((error as { readonly stdout: string }).stdout);
  }
}

/** What a command says that fails. */
function refusal(...args: string[]): string {
  try {
    run(...args);
  } catch (error) {
    return (error as Error).message;
  }
  return "nothing: it succeeds";
}

function hasTorch(): boolean {
  try {
    run("-c", "import torch.nn.attention.flex_attention");
    return true;
  } catch {
    console.info("There is no Python with PyTorch 2.6 or newer here, so what is written in it does not run");
    return false;
  }
}

const torch = hasTorch();
if (!existsSync(goldens)) console.info(`${goldens} is absent: the peer is not compared with golden logits`);

describe.skipIf(!torch)("PyTorch", () => {
  it("runs a package's operators, in compiled functions too, on the emulated device", async () => {
    const folder = join(scratch, "package");
    const example = join(root, "examples/phd-cswa-3-16-32.phd");
    const { code, stderr } = await runCli(["compile", example, "--target", "cuda", "--no-nvcc", "-o", folder]);
    expect(code, stderr).toBe(0);
    const read = (file: string) => readFileSync(join(folder, "selftest", file), "utf8");
    const planned = JSON.parse(run(join(root, "test/plug-in/print_calls.py"), loader, folder)) as {
      phases: { calls: [string, ...unknown[]][] }[];
    };
    const names = new Set(planned.phases.flatMap(({ calls }) => calls.map(([kernel]) => kernel)));
    const { kernels }: Manifest = JSON.parse(read("manifest.json"));
    const launched = kernels.filter(({ name }) => names.has(name));
    const image = await compileEmulated(
      new Map(launched.map(({ entryPoint, file }) => [entryPoint, read(file)] as const)),
    );
    const script = join(root, "test/plug-in/torch_on_driver.py");
    const output = run(script, loader, folder, await emulatedDriver(), image);
    expect(output).toMatch(/^passed$/m);
    expect(output.match(/compiled by inductor/g)?.length).toBeGreaterThan(1);
  }, 1_200_000);

  it
    .skipIf(!existsSync(goldens))
    .each(["vanilla-llama", "phd-2", "phd-5", "phd-swa-3-4", "phd-cswa-2-16-32", "phd-cswa-3-4-4"])(
    "computes the golden logits of %s in the peer, eagerly and compiled",
    (name) => {
      const output = run(peer, "--device", "cpu", "--dtype", "float32", "--check", join(goldens, name), "--only-check");
      // FlexAttention and masked attention; float64 and float32 eagerly, float32 compiled.
      expect(output.match(/largest difference/g)).toHaveLength(6);
    },
    1_200_000,
  );

  it.skipIf(!existsSync(goldens))(
    "refuses a peer that computes something else",
    () => {
      const text = `
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import pytorch_check, pytorch_model
sees = pytorch_model.Relation.sees
pytorch_model.Relation.sees = lambda self, q, c, k, d: sees(self, q, c, k, d) & ((q - k) < 5)
pytorch_check.check(pathlib.Path(sys.argv[2]), ["sdpa"], ["float32"], "cpu", {"eager": None}, print)`;
      expect(refusal("-c", text, join(root, "bench/peers"), join(goldens, "phd-2"))).toMatch(/logits are off by/);
    },
    600_000,
  );

  it("says what is wrong with a request of the peer", () => {
    expect(refusal(peer, "--copies", "0")).toContain("argument --copies: 0 is less than 1");
    expect(refusal(peer, "--attention", "flash")).toContain("no attention is called flash; there are flex, sdpa");
    expect(refusal(peer, "--device", "cpu", "--check", scratch)).toMatch(/the check failed: .* holds no golden/);
  }, 600_000);
});
