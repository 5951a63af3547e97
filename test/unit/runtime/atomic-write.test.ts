import { spawn } from "node:child_process";
import { once } from "node:events";
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { assertWritable, writeFileAtomic, writeFolderAtomic } from "../../../src/runtime/node/atomic-write.js";
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

  it("keeps a link to it, and who may read it", async () => {
    const path = join(folder, "model.phd");
    const link = join(folder, "link.phd");
    await writeFile(path, "old", { mode: 0o600 });
    await symlink(path, link);
    await writeFileAtomic(link, "new");
    expect(await readFile(path, "utf8")).toBe("new");
    expect((await lstat(link)).isSymbolicLink()).toBe(true);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it("goes into what is no file, and does not replace it", async () => {
    await writeFileAtomic("/dev/null", "text");
    expect((await stat("/dev/null")).isCharacterDevice()).toBe(true);
  });

  it("is known to be impossible before there is anything to write", async () => {
    await expect(assertWritable(folder)).rejects.toMatchObject({
      message: `${folder} cannot be written: it is a folder`,
    });
    await writeFile(join(folder, "file"), "kept");
    await assertWritable(join(folder, "file"));
    await assertWritable(join(folder, "other"));
    await expect(assertWritable(join(folder, "file/below"))).rejects.toMatchObject({ code: "output-unwritable" });
    expect(await readdir(folder)).toEqual(["file"]);
    expect(await readFile(join(folder, "file"), "utf8")).toBe("kept");
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

  const foreignTo = (own: string) => (entries: readonly string[]) => entries.find((entry) => entry !== own);

  it("appears whole", async () => {
    await writeFolderAtomic(target(), fillWith("manifest.json"));
    expect(await readdir(folder)).toEqual(["out"]);
    expect(await readdir(target())).toEqual(["manifest.json"]);
  });

  it("takes the place of an earlier output, of which nothing stays", async () => {
    await writeFolderAtomic(target(), fillWith("a.wgsl"));
    await writeFolderAtomic(target(), fillWith("b.wgsl"), foreignTo("a.wgsl"));
    expect(await readdir(target())).toEqual(["b.wgsl"]);
    expect(await readdir(folder)).toEqual(["out"]);
  });

  it("never takes the place of files that are not its own", async () => {
    await mkdir(target());
    await writeFile(join(target(), "thesis.tex"), "");
    await expect(writeFolderAtomic(target(), fillWith("a.wgsl"), foreignTo("manifest.json"))).rejects.toMatchObject({
      code: "output-exists",
      message: expect.stringContaining("holds thesis.tex, which is no part of an earlier output"),
    });
    expect(await readdir(target())).toEqual(["thesis.tex"]);
  });

  it("leaves the old one when filling fails, and passes the failure on", async () => {
    await writeFolderAtomic(target(), fillWith("a.wgsl"));
    const fill = async (into: string) => {
      await writeFile(join(into, "half"), "");
      throw new Error("no more kernels");
    };
    await expect(writeFolderAtomic(target(), fill, () => undefined)).rejects.toThrow("no more kernels");
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
