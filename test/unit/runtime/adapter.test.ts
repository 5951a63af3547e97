import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readTar } from "../../../src/runtime/node/tar.js";
import { runtimeAsJavaScript } from "./runtime-as-javascript.js";

const softwareExists = process.platform === "linux" && process.arch === "x64";

/**
 * Every case runs in a process of its own: what is being shown is how a process starts, shares its cache and ends, and the variables
 * that choose a driver are per process.
 */
let folder: string;
beforeAll(async () => {
  folder = await runtimeAsJavaScript();
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

interface Ending {
  readonly exit: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a module that imports from `./node/adapter.js`; `cache` is its XDG_CACHE_HOME. */
async function inProcess(script: string, cache = join(folder, "cache")): Promise<Ending> {
  const file = join(folder, `case-${Math.random().toString(36).slice(2)}.mjs`);
  await writeFile(file, script);
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [file], {
      env: { ...process.env, XDG_CACHE_HOME: cache, VK_ICD_FILENAMES: "" },
      timeout: 60_000,
    });
    return { exit: 0, stdout, stderr };
  } catch (error) {
    const { code, signal, stdout, stderr } = error as {
      code?: number;
      signal?: string;
      stdout: string;
      stderr: string;
    };
    return { exit: code ?? signal ?? "unknown", stdout, stderr };
  }
}

const find = `
  import { findAdapter } from "./node/adapter.js";
  const { adapter, description } = await findAdapter("software");`;

describe.skipIf(!softwareExists)("the software adapter that npm installed", () => {
  it("is found, says what it is, and lets the process end", async () => {
    const ending = await inProcess(`${find}
      console.log(JSON.stringify(description));`);
    expect(ending).toMatchObject({ exit: 0, stderr: "" });
    const description = JSON.parse(ending.stdout);
    expect(description).toMatchObject({ vendor: "google", architecture: "swiftshader", software: true });
    expect(description.features).toContain("subgroups");
    expect(description.limits.maxStorageBufferBindingSize).toBe(2 ** 30);
  });

  it("computes, and the process ends by itself with its device still open", async () => {
    const ending = await inProcess(`${find}
      const device = await adapter.requestDevice();
      const module = device.createShaderModule({ code: \`
        @group(0) @binding(0) var<storage, read_write> x: array<u32>;
        @compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) { x[i] = i * i; }\` });
      const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
      const x = device.createBuffer({ size: 16, usage: 0x84 });
      const back = device.createBuffer({ size: 16, usage: 0x09 });
      const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer: x } }] });
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline); pass.setBindGroup(0, group); pass.dispatchWorkgroups(1); pass.end();
      encoder.copyBufferToBuffer(x, 0, back, 0, 16);
      device.queue.submit([encoder.finish()]);
      await back.mapAsync(1);
      console.log([...new Uint32Array(back.getMappedRange())].join());`);
    expect(ending).toEqual({ exit: 0, stdout: "0,1,4,9\n", stderr: "" });
  });

  it("survives two searches, a destroyed device and process.exit", async () => {
    const ending = await inProcess(`${find}
      (await adapter.requestDevice()).destroy();
      const again = await findAdapter("software");
      await again.adapter.requestDevice();
      console.log("done");
      process.exit(0);`);
    expect(ending).toEqual({ exit: 0, stdout: "done\n", stderr: "" });
  });

  it("is unpacked once, and again when a file of it was damaged", async () => {
    const cache = join(folder, "own-cache");
    const search = () => inProcess(`${find} console.log(description.software)`, cache);
    expect((await Promise.all([search(), search(), search()])).map(({ stdout }) => stdout)).toEqual([
      "true\n",
      "true\n",
      "true\n",
    ]);
    const [unpacked, ...others] = await readdir(join(cache, "phdc"));
    expect(others).toEqual([]);

    const driver = join(cache, "phdc", unpacked!, "libvk_swiftshader.so");
    const before = await stat(driver);
    await search();
    expect((await stat(driver)).mtimeMs).toBe(before.mtimeMs);
    await truncate(driver, 1000);
    expect(await search()).toEqual({ exit: 0, stdout: "true\n", stderr: "" });
    expect((await stat(driver)).size).toBe(before.size);
  });

  it("has its files at every moment of another process's unpacking", async () => {
    const cache = join(folder, "shared-cache");
    const search = () => inProcess(`${find} console.log(description.software)`, cache);
    await search();
    const [unpacked] = await readdir(join(cache, "phdc"));
    const files = (await readdir(join(cache, "phdc", unpacked!))).map((name) => join(cache, "phdc", unpacked!, name));
    // What a process sees that looked before the first one was done: it unpacks too.
    await rm(files.find((path) => path.endsWith("sizes.json"))!);
    const others = files.filter((path) => !path.endsWith("sizes.json"));

    let searching = true;
    const ending = search().finally(() => (searching = false));
    const missed = new Set<string>();
    while (searching) {
      for (const path of others) if (!existsSync(path)) missed.add(path);
      await setImmediate();
    }
    expect(await ending).toEqual({ exit: 0, stdout: "true\n", stderr: "" });
    expect([...missed]).toEqual([]);
    expect((await readdir(join(cache, "phdc", unpacked!))).length).toBe(files.length);
  });
});

describe("a search for hardware", () => {
  it("never answers with a software adapter", async () => {
    const ending = await inProcess(`
      import { findAdapter } from "./node/adapter.js";
      try { console.log((await findAdapter("hardware")).description.software); }
      catch (error) { console.log(error.code); }`);
    expect(ending.exit).toBe(0);
    expect(["false\n", "no-adapter\n"]).toContain(ending.stdout);
  });
});

describe("a tar archive that is damaged", () => {
  it("is refused", () => {
    const archive = new Uint8Array(1024);
    archive.set(new TextEncoder().encode("a.txt"));
    archive.set(new TextEncoder().encode("77777777777"), 124);
    expect(() => readTar(archive)).toThrow("damaged at byte 0");
  });
});
