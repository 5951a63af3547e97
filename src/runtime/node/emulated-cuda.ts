/**
 * A CUDA device for machines without one: the texts of kernels as programs of the host, and a stand-in for the driver library.
 *
 * Both are compiled from the C++ files in the folder `emulated` by whatever compiler the machine has, once: they are kept under the
 * hash of what they are made from.
 */
import { execFile } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { ModuleBuilder } from "../cuda/module-builder.js";
import { DeviceError, NoAdapter } from "../errors.js";
import { cacheRoots } from "./cache-roots.js";

const run = promisify(execFile);

/**
 * The path of the stand-in driver library. Throws NoAdapter where there is no C++ compiler.
 *
 * What it adds to the driver API: `phdc_emulated_report` and `phdc_emulated_counts`, see emulated/driver.cpp.
 */
export async function emulatedDriver(): Promise<string> {
  const folder = sourceFolder();
  const names = (await readdir(folder)).sort();
  const sources = new Map<string, string>();
  for (const name of names) sources.set(name, await readFile(join(folder, name), "utf8"));
  const units = names.filter((name) => name.endsWith(".cpp"));
  // Calls between its own functions stay in it, also where a real driver is loaded beside it.
  return built("driver", sources, units, [`-I${folder}`], ["-Wl,-Bsymbolic"]);
}

/** Compiles kernels, given as texts by name, to one shared object for the stand-in driver. */
export async function compileEmulated(kernels: ReadonlyMap<string, string>): Promise<string> {
  const driver = await emulatedDriver();
  const files = new Map([...kernels].map(([name, text]) => [`${name}.cu`, text]));
  const units = unitsOf([...kernels.keys()]);
  for (const [unit, names] of units) {
    const lines = names.flatMap((name) => [`#include "${name}.cu"`, recordOf(name, kernels.get(name)!)]);
    files.set(unit, `${lines.join("\n")}\n`);
  }
  // The driver's path is that of the engine the kernels are linked to, and changes with its sources.
  return built("kernels", files, [...units.keys()], [`-I${sourceFolder()}`, "-fvisibility=hidden"], [driver]);
}

/** Makes modules for the emulated device. */
export function emulatedBuilder(): ModuleBuilder {
  return {
    name: "the host's C++ compiler",
    build: async ({ kernels }) => {
      const path = await compileEmulated(new Map(kernels.map(({ info, text }) => [info.entryPoint, text])));
      return [{ kernels: kernels.map(({ info }) => info.name), image: new Uint8Array(await readFile(path)) }];
    },
  };
}

/** Kernels that are compiled together, as many programs as the machine has processors for. */
function unitsOf(names: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const count = Math.max(1, Math.min(availableParallelism(), Math.ceil(names.length / 4)));
  return new Map(
    Array.from({ length: count }, (_, unit) => [`unit-${unit}.cpp`, names.filter((_, i) => i % count === unit)]),
  );
}

/**
 * The line that tells the stand-in driver of a kernel: its name, the threads of a block, whether it waits for the kernel before it, the
 * names of its parameters. They are read from the text, whose head is always written alike.
 */
function recordOf(name: string, text: string): string {
  const head = /extern "C" __global__ void __launch_bounds__\((\d+)[^)]*\)\s+(\w+)\(([^)]*)\)/.exec(text);
  if (head === null) throw new DeviceError(`${name}.cu defines no kernel`);
  const [, threads, kernel, parameters] = head;
  const names = parameters!.split(",").map((parameter) => `"${/(\w+)\s*$/.exec(parameter)![1]}"`);
  const awaits = text.includes("await_previous();");
  return `EMULATED_KERNEL(${kernel}, ${threads}, ${awaits}, ${names.join(", ")})`;
}

/** The folder with the emulator's sources: beside `src` or `dist`, wherever this module was bundled to. */
function sourceFolder(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); folder !== dirname(folder); folder = dirname(folder)) {
    const candidate = join(folder, "emulated");
    if (existsSync(join(candidate, "phdc.cuh"))) return candidate;
  }
  throw new NoAdapter("the sources of the emulated CUDA device are not installed");
}

/** Signed integers wrap, as on a device, and products are not contracted with sums where the text does not ask for it. */
const commonFlags = ["-std=c++17", "-O1", "-fPIC", "-fwrapv", "-fno-strict-aliasing", "-ffp-contract=off", "-w"];

/**
 * The path of the shared object that `units`, some of the files, make; compiled now if it was not before. Processes may do this at the
 * same time: each writes a file of its own, and the last to rename it wins.
 */
async function built(
  name: string,
  files: ReadonlyMap<string, string>,
  units: readonly string[],
  compileFlags: readonly string[],
  linkFlags: readonly string[],
): Promise<string> {
  const asked = [name, process.env["CXX"], process.arch, commonFlags, [...files], units, compileFlags, linkFlags];
  const key = createHash("sha256").update(JSON.stringify(asked)).digest("hex").slice(0, 24);
  let problem: unknown;
  for (const root of cacheRoots()) {
    const target = join(root, "phdc", `emulated-${name}-${key}.so`);
    if (await isOurs(target)) {
      await markUsed(target);
      return target;
    }
    try {
      await mkdir(dirname(target), { recursive: true, mode: 0o700 });
      const trial = `${target}.${randomUUID()}.try`;
      await writeFile(trial, "");
      await rm(trial);
    } catch (error) {
      problem = error;
      continue;
    }
    await compile(target, files, units, compileFlags, linkFlags);
    await forgetOld(dirname(target));
    return target;
  }
  throw new NoAdapter("the emulated CUDA device cannot be kept anywhere", {
    cause: problem,
    hint: "Set XDG_CACHE_HOME to a folder that can be written.",
  });
}

const dayMilliseconds = 24 * 60 * 60 * 1000;
const keptMilliseconds = 30 * dayMilliseconds;

/**
 * Makes what is used as young as it was when it was compiled, so that no other process takes it for forgotten and removes it before it is
 * loaded. Once a day is enough.
 */
async function markUsed(path: string): Promise<void> {
  const now = new Date();
  try {
    if (now.getTime() - (await stat(path)).mtimeMs > dayMilliseconds) await utimes(path, now, now);
  } catch {
    // A cache that cannot be written is not tidied up either.
  }
}

/** Removes what was used last more than a month ago: texts change with every version, and what is still needed is soon made again. */
async function forgetOld(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!/^emulated-.*\.so/.test(name)) continue;
    const path = join(folder, name);
    try {
      if (Date.now() - (await stat(path)).mtimeMs > keptMilliseconds) await rm(path, { force: true });
    } catch {
      // Another process was quicker.
    }
  }
}

/** What is there gets loaded into the process, so it must be this user's. */
async function isOurs(path: string): Promise<boolean> {
  try {
    const { uid, size } = await stat(path);
    return size > 0 && (process.getuid === undefined || uid === process.getuid());
  } catch {
    return false;
  }
}

async function compile(
  target: string,
  files: ReadonlyMap<string, string>,
  units: readonly string[],
  compileFlags: readonly string[],
  linkFlags: readonly string[],
): Promise<void> {
  const compiler = await findCompiler();
  const folder = await mkdtemp(join(tmpdir(), "phdc-emulated-"));
  const temporary = `${target}.${randomUUID()}.tmp`;
  try {
    for (const [name, text] of files) await writeFile(join(folder, name), text);
    const objects = units.map((unit) => join(folder, `${unit}.o`));
    await inParallel(units, (unit, index) =>
      call(compiler, [...commonFlags, ...compileFlags, "-c", join(folder, unit), "-o", objects[index]!]),
    );
    await call(compiler, ["-shared", ...objects, ...linkFlags, "-pthread", "-o", temporary]);
    await rename(temporary, target);
  } finally {
    await rm(folder, { recursive: true, force: true });
    await rm(temporary, { force: true });
  }
}

/** As many at a time as there are processors. */
async function inParallel<T>(items: readonly T[], work: (item: T, index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const index = next++;
      await work(items[index]!, index);
    }
  };
  await Promise.all(Array.from({ length: Math.min(items.length, availableParallelism()) }, worker));
}

async function call(compiler: string, args: readonly string[]): Promise<void> {
  try {
    await run(compiler, [...args], { maxBuffer: 64 * 1024 * 1024 });
  } catch (cause) {
    const { stderr = "" } = cause as { readonly stderr?: string };
    const firstWords = stderr.split("\n").slice(0, 20).join("\n");
    throw new DeviceError(`${compiler} refuses the emulated kernels:\n${firstWords}`, { details: { compiler } });
  }
}

/** The compiler that CXX names, else the usual ones. */
async function findCompiler(): Promise<string> {
  const candidates = process.env["CXX"] ? [process.env["CXX"]] : ["c++", "g++", "clang++"];
  for (const candidate of candidates) {
    try {
      await run(candidate, ["--version"]);
      return candidate;
    } catch {
      // Not on this machine; the next one may be.
    }
  }
  throw new NoAdapter(`the emulated CUDA device needs a C++ compiler, and there is none: ${candidates.join(", ")}`, {
    details: { compilers: candidates },
    hint: "Install g++ or clang++, or name one in CXX.",
  });
}
