/**
 * A WebGPU adapter that npm installed: SwiftShader, a Vulkan driver that computes on the CPU, and a Vulkan loader, both from the
 * package @sparticuz/chromium. They are unpacked once per user and version.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliDecompress } from "node:zlib";
import { NoAdapter } from "../errors.js";
import { writeFileAtomic } from "./atomic-write.js";
import { cacheRoots } from "./cache-roots.js";
import { readTar } from "./tar.js";

export interface SoftwareVulkan {
  /** The Vulkan loader, to be loaded into the process before Dawn looks for it. */
  readonly loader: string;
  /** The driver's description, for VK_ICD_FILENAMES. */
  readonly driver: string;
}

const wanted = ["libvulkan.so.1", "libvk_swiftshader.so", "vk_swiftshader_icd.json"];
/** Unpacked, the archive has 15 MB. */
const largestArchive = 256 * 1024 * 1024;

/** Where the software adapter is, unpacked now if it was not yet. */
export async function unpackSoftwareVulkan(): Promise<SoftwareVulkan> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new NoAdapter(`the software adapter runs on Linux x64 only, and this is ${process.platform} ${process.arch}`);
  }
  const archive = await readArchive();
  const key = createHash("sha256").update(archive).digest("hex").slice(0, 16);

  let problem: unknown;
  for (const root of cacheRoots()) {
    const folder = join(root, "phdc", `swiftshader-${key}`);
    try {
      await unpackInto(folder, archive);
      return { loader: join(folder, "libvulkan.so.1"), driver: join(folder, "vk_swiftshader_icd.json") };
    } catch (error) {
      problem = error;
    }
  }
  throw new NoAdapter("the software adapter cannot be unpacked", {
    cause: problem,
    hint: "Set XDG_CACHE_HOME to a folder that can be written.",
  });
}

async function readArchive(): Promise<Buffer> {
  try {
    // The package exports no path to its files, so they are found from its entry point.
    const entry = createRequire(import.meta.url).resolve("@sparticuz/chromium");
    const root = entry.slice(
      0,
      entry.lastIndexOf(join("@sparticuz", "chromium")) + join("@sparticuz", "chromium").length,
    );
    return await readFile(join(root, "bin", "swiftshader.tar.br"));
  } catch (cause) {
    throw new NoAdapter("the package @sparticuz/chromium, which carries the software adapter, is not installed", {
      cause,
    });
  }
}

/**
 * Unpacks into `folder` unless it is there whole. Processes may do this at the same time, and one may load the files while another
 * still unpacks: each file takes its place whole, nothing is ever removed, and all write the same bytes.
 */
async function unpackInto(folder: string, archive: Buffer): Promise<void> {
  if (await isWhole(folder)) return;
  const files = readTar(await promisify(brotliDecompress)(archive, { maxOutputLength: largestArchive }));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if (!(await isOurs(folder))) throw new Error(`${folder} belongs to another user`);
  for (const name of wanted) {
    const bytes = files.get(name);
    if (bytes === undefined) throw new NoAdapter(`the software adapter's archive holds no ${name}`);
    await writeFileAtomic(join(folder, name), bytes);
  }
  await writeFileAtomic(join(folder, "sizes.json"), JSON.stringify(await sizesIn(folder)));
}

async function sizesIn(folder: string): Promise<readonly number[]> {
  return Promise.all(wanted.map(async (name) => (await stat(join(folder, name))).size));
}

/** Whether every file is there with the size it had when it was unpacked. */
async function isWhole(folder: string): Promise<boolean> {
  try {
    if (!(await isOurs(folder))) return false;
    const recorded = await readFile(join(folder, "sizes.json"), "utf8");
    return recorded === JSON.stringify(await sizesIn(folder));
  } catch {
    return false;
  }
}

/** What is in the folder gets loaded into the process, so it must be this user's. */
async function isOurs(folder: string): Promise<boolean> {
  return (await stat(folder)).uid === process.getuid?.();
}
