/** A few command lines as real processes: what only a process shows. They run what `npm ci` built. */
import { execFile, spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { version } from "../../src/version.js";
import { scratchFolder } from "./run-cli.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const bin = join(root, "bin/phdc.js");
const bundled = join(root, "examples/models/shakespeare-phd-cswa-3-16-32");
const scratch = scratchFolder();
const run = promisify(execFile);

/** What a test does not set itself must not come from whoever runs the tests. */
const { NO_COLOR: _noColor, FORCE_COLOR: _forceColor, ...plainEnv } = process.env;

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function phdc(args: readonly string[], input = "", env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [bin, ...args],
      { env: { ...plainEnv, ...env } },
      (error, stdout, stderr) =>
        resolve({ code: typeof error?.code === "number" ? error.code : error === null ? 0 : -1, stdout, stderr }),
    );
    child.stdin!.end(input);
  });
}

describe("a process", () => {
  it("is found by npx in the project's root", async () => {
    const { stdout } = await run("npx", ["phdc", "--version"], { cwd: root });
    expect(stdout).toBe(`${version}\n`);
  });

  it("reads stdin, writes stdout, and ends with the command's exit code", async () => {
    const imported = await phdc(["import", bundled]);
    expect(imported).toMatchObject({ code: 0, stderr: "" });
    expect(await phdc(["check", "-"], imported.stdout)).toMatchObject({ code: 0, stdout: "" });
    expect(await phdc(["check", "-"], "model {")).toMatchObject({ code: 1, stdout: "" });
    expect(await phdc(["check"])).toMatchObject({ code: 2, stdout: "" });
  });

  it("colours its messages only where it may", async () => {
    const colour = "\u001b[";
    expect((await phdc(["check", "-"], "model {")).stderr).not.toContain(colour);
    expect((await phdc(["check", "-"], "model {", { FORCE_COLOR: "1" })).stderr).toContain(colour);
    expect((await phdc(["check", "-"], "model {", { FORCE_COLOR: "1", NO_COLOR: "1" })).stderr).not.toContain(colour);
  });

  it("shows no stack trace, whatever it is given", async () => {
    const attempts = [
      await phdc(["check", scratch]),
      await phdc(["check", "-"], "\u0000\ufffd{{{{"),
      await phdc(["inspect", join(root, "package.json")]),
      await phdc(["import", join(root, "package.json")]),
      await phdc(["run", "-", "--weights", scratch, "--prompt", "x", "--device", "cpu"], "model A { }"),
      await phdc(["logits", "-", "--weights", scratch, "--ids", bin, "--prefill", "1", "-o", scratch], "x"),
      await phdc(["compile", "-", "-o", "/proc/phdc"], readFileSync(join(root, "examples/phd-2.phd"), "utf8")),
    ];
    for (const { code, stderr } of attempts) {
      expect(stderr).toMatch(/^error\[PHD\d{4}\]: /);
      expect(stderr).not.toMatch(/^ +at |bug/m);
      expect(code).toBe(1);
    }
  });

  it("ends quietly when whoever reads has seen enough", async () => {
    const child = spawn(process.execPath, [bin, "compile", join(root, "examples/phd-2.phd"), "--emit", "wgsl"]);
    let stderr = "";
    child.stderr.on("data", (text: Buffer) => {
      stderr += text.toString();
    });
    child.stdout.once("data", () => child.stdout.destroy());
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  });

  it.skipIf(!existsSync("/dev/full"))("says so when what it prints has no room", async () => {
    const full = openSync("/dev/full", "w");
    const child = spawn(process.execPath, [bin, "--help"], { stdio: ["ignore", full, "pipe"] });
    let stderr = "";
    child.stderr!.on("data", (text: Buffer) => {
      stderr += text.toString();
    });
    const code = await new Promise((resolve) => child.on("close", resolve));
    closeSync(full);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: "error[PHD0802]: The output cannot be written: the disk is full\n",
    });
  });

  it("says on stderr which device auto took, and continues on stdout", async () => {
    const model = join(scratch, "model.phd");
    await phdc(["import", bundled, "-o", model]);
    const args = ["run", model, "--weights", bundled, "--prompt", "ROMEO:\n", "--max-tokens", "5"];
    const { code, stdout, stderr } = await phdc(args);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "I wil" });
    expect(stderr).toMatch(/^Running on (WebGPU|the CPU interpreter)/m);
  });
});
