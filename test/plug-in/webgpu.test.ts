/** The plug-in examples against packages' own self-tests: on a page, in Deno, and here in Node for more models. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { openBrowser, serve } from "../../bench/peers/browser.mjs";
import { findAdapter } from "../../src/runtime/node/adapter.js";
import { readTar } from "../../src/runtime/node/tar.js";
import { runCli, scratchFolder } from "../cli/run-cli.js";
import { vulkanEnvironment } from "../support/vulkan.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const loader = join(root, "examples/plug-in/webgpu");
const scratch = scratchFolder();
const folderOf = (example: string) => join(scratch, example.replaceAll("/", "-"));
const run = promisify(execFile);

/** What `runSelfTest` of the example gives. */
interface SelfTest {
  readonly passed: boolean;
  readonly difference: number;
}

const examples = [
  "phd-cswa-3-16-32",
  "phd-swa-2-16",
  "naive-2",
  "vanilla",
  "alternating-windows",
  "variants/attention-sinks",
  "variants/sliding-window",
];

beforeAll(async () => {
  for (const example of examples) {
    const { code, stderr } = await runCli(["compile", join(root, `examples/${example}.phd`), "-o", folderOf(example)]);
    expect(code, stderr).toBe(0);
  }
});

describe("the raw WebGPU loader runs a package's self-test", () => {
  it.each(examples)("of %s in Node", async (example) => {
    const { adapter } = await findAdapter("any");
    const { runSelfTest } = (await import(join(loader, "selftest.js"))) as {
      runSelfTest(device: GPUDevice, read: (file: string) => Promise<string>): Promise<SelfTest>;
    };
    const device = await adapter.requestDevice();
    const read = async (file: string) => readFileSync(join(folderOf(example), file), "utf8");
    const { passed, difference } = await runSelfTest(device, read);
    device.destroy();
    expect(passed, `differs by ${difference}`).toBe(true);
    expect(difference).toBeLessThan(1e-4);
  });

  it("in Deno", async () => {
    const deno = createRequire(import.meta.url).resolve("deno/bin.cjs");
    const args = ["run", "--quiet", "--no-lock", "--unstable-webgpu", "--allow-read", join(loader, "deno.js")];
    const { stdout } = await run(process.execPath, [deno, ...args, folderOf("phd-cswa-3-16-32")], {
      env: { ...process.env, ...(await vulkanEnvironment("mesa")) },
    });
    expect(stdout).toContain("passed");
  });

  it("on a page", async () => {
    const server = await serve({ loader, package: folderOf("phd-cswa-3-16-32") });
    const browser = await openBrowser(readTar);
    try {
      const page = await browser.newPage();
      await page.goto(`${server.url}/loader/index.html?package=/package`);
      await page.waitForFunction("!document.querySelector('#result').textContent.includes('running')", undefined, {
        timeout: 300_000,
      });
      expect(await page.locator("#result").textContent()).toContain("passed");
    } finally {
      await browser.close();
      await server.close();
    }
  }, 400_000);
});
