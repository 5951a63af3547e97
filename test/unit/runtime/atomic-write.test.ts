import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeFileAtomic, writeFolderAtomic } from "../../../src/runtime/node/atomic-write.js";
import { runtimeAsJavaScript } from "./runtime-as-javascript.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "phdc-write-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

describe("a written file", () => {
  it("replaces the old one and leaves nothing beside it", async () => {
    const path = join(folder, "new/logits.safetensors");
    await writeFileAtomic(path, "old");
    await writeFileAtomic(path, Uint8Array.of(0x6e, 0x65, 0x77));
    expect(await readFile(path, "utf8")).toBe("new");
    expect(await readdir(join(folder, "new"))).toEqual(["logits.safetensors"]);
  });

  it("that cannot take its place is an output error and leaves nothing behind", async () => {
    await mkdir(join(folder, "taken"));
    await writeFile(join(folder, "taken/file"), "");
    await expect(writeFileAtomic(join(folder, "taken"), "text")).rejects.toMatchObject({ code: "output-unwritable" });
    await expect(writeFileAtomic(join(folder, "taken/file/below"), "text")).rejects.toMatchObject({
      name: "OutputError",
    });
    expect(await readdir(folder)).toEqual(["taken"]);
  });
});

describe("a written folder", () => {
  const target = () => join(folder, "out");
  const fillWith = (name: string) => async (into: string) => writeFile(join(into, name), name);

  it("appears whole", async () => {
    await writeFolderAtomic(target(), fillWith("manifest.json"));
    expect(await readdir(folder)).toEqual(["out"]);
    expect(await readdir(target())).toEqual(["manifest.json"]);
  });

  it("takes the place of an earlier output, of which nothing stays", async () => {
    await writeFolderAtomic(target(), fillWith("a.wgsl"));
    await writeFolderAtomic(target(), fillWith("b.wgsl"), (entries) => entries.includes("a.wgsl"));
    expect(await readdir(target())).toEqual(["b.wgsl"]);
    expect(await readdir(folder)).toEqual(["out"]);
  });

  it("never takes the place of files that are not its own", async () => {
    await mkdir(target());
    await writeFile(join(target(), "thesis.tex"), "");
    await expect(
      writeFolderAtomic(target(), fillWith("a.wgsl"), (entries) => entries.includes("manifest.json")),
    ).rejects.toMatchObject({ code: "output-exists" });
    expect(await readdir(target())).toEqual(["thesis.tex"]);
  });

  it("leaves the old one when filling fails, and passes the failure on", async () => {
    await writeFolderAtomic(target(), fillWith("a.wgsl"));
    const fill = async (into: string) => {
      await writeFile(join(into, "half"), "");
      throw new Error("no more kernels");
    };
    await expect(writeFolderAtomic(target(), fill, () => true)).rejects.toThrow("no more kernels");
    expect(await readdir(target())).toEqual(["a.wgsl"]);
    expect(await readdir(folder)).toEqual(["out"]);
  });
});

describe("a process that ends while it writes", () => {
  it.each([
    [
      "by Ctrl-C",
      "process.kill(process.pid, 'SIGINT'); await new Promise(() => setInterval(() => {}, 1000));",
      "SIGINT",
    ],
    ["by process.exit", "process.exit(3);", 3],
  ])("%s leaves nothing behind", async (_, ending, expected) => {
    const runtime = await runtimeAsJavaScript();
    const script = join(runtime, "case.mjs");
    await writeFile(
      script,
      `import { writeFile } from "node:fs/promises";
       import { writeFolderAtomic } from "./node/atomic-write.js";
       await writeFolderAtomic(${JSON.stringify(join(folder, "out"))}, async (into) => {
         await writeFile(into + "/half", "");
         ${ending}
       });`,
    );
    const [code, signal] = await once(spawn(process.execPath, [script], { stdio: "ignore" }), "exit");
    expect(code ?? signal).toBe(expected);
    expect(await readdir(folder)).toEqual([]);
    await rm(runtime, { recursive: true });
  });
});
