/**
 * WebGPU in Node, through Dawn (the package `webgpu`): a GPU where there is one, else the software adapter that npm installed.
 */
import { readdir } from "node:fs/promises";
import koffi from "koffi";
import { NoAdapter } from "../errors.js";
import { type AdapterDescription, describeAdapter } from "../webgpu/adapter-info.js";
import { unpackSoftwareVulkan } from "./software-adapter.js";

type AdapterKind = "hardware" | "software";
export type AdapterChoice = "any" | AdapterKind;

export interface FoundAdapter {
  readonly adapter: GPUAdapter;
  readonly description: AdapterDescription;
}

/**
 * Finds an adapter. `any` prefers hardware. Throws NoAdapter with what was tried.
 */
export async function findAdapter(choice: AdapterChoice = "any"): Promise<FoundAdapter> {
  const tried: string[] = [];
  if (choice !== "software") {
    const found = await hardwareAdapter(tried);
    if (found !== undefined) return found;
  }
  if (choice !== "hardware") {
    const found = await softwareAdapter(tried);
    if (found !== undefined) return found;
  }
  throw new NoAdapter(`no ${choice === "any" ? "" : `${choice} `}WebGPU adapter: ${tried.join("; ")}`, {
    details: { tried },
    hint: "`phdc doctor` shows what was found.",
  });
}

async function hardwareAdapter(tried: string[]): Promise<FoundAdapter | undefined> {
  // Dawn complains on stderr where there is no Vulkan loader, so that is found out first.
  if (process.platform === "linux" && !canLoad("libvulkan.so.1")) {
    tried.push("no Vulkan loader (libvulkan.so.1) on this system");
    return undefined;
  }
  // A system's software driver would be refused below, but not before it has complained on stderr.
  if (process.platform === "linux" && !(await hasGraphicsDevice())) {
    tried.push("no GPU in /dev on this system");
    return undefined;
  }
  const found = await request(tried, "hardware");
  if (found?.description.software) {
    tried.push(`${found.description.name} is a software adapter`);
    return undefined;
  }
  return found;
}

/** Files through which drivers reach a GPU: Linux's own, NVIDIA's, those of Windows' Linux and of phones' GPUs. */
const graphicsDevices = /^(dri|nvidia\d+|dxg|mali\d*|kgsl-.*|pvr_.*)$/;

/** Answers yes where it cannot tell. */
async function hasGraphicsDevice(): Promise<boolean> {
  try {
    return (await readdir("/dev")).some((name) => graphicsDevices.test(name));
  } catch {
    return true;
  }
}

async function softwareAdapter(tried: string[]): Promise<FoundAdapter | undefined> {
  // Elsewhere the system's own WebGPU back end has a software adapter, or there is none.
  if (process.platform === "linux") {
    try {
      const { loader, driver } = await unpackSoftwareVulkan();
      // The loader reads this when Dawn creates its Vulkan instance. A system's loader, when one is loaded already, reads it too.
      process.env["VK_ICD_FILENAMES"] = driver;
      // The newer name of the same variable, which would win.
      process.env["VK_DRIVER_FILES"] = driver;
      loadOnce(loader);
    } catch (error) {
      tried.push((error as Error).message);
      return undefined;
    }
  }
  const found = await request(tried, "software", process.platform !== "linux");
  if (found !== undefined && !found.description.software) {
    tried.push(`${found.description.name} is no software adapter`);
    return undefined;
  }
  return found;
}

async function request(
  tried: string[],
  kind: AdapterKind,
  forceFallbackAdapter = false,
): Promise<FoundAdapter | undefined> {
  try {
    const { create } = await import("webgpu");
    const gpu = instances.get(kind) ?? create(kind === "software" ? softwareToggles : []);
    instances.set(kind, gpu);
    const adapter = await gpu.requestAdapter({ powerPreference: "high-performance", forceFallbackAdapter });
    if (adapter !== null) {
      return { adapter, description: describeAdapter(adapter) };
    }
    tried.push(`Dawn finds no ${kind} adapter`);
  } catch (error) {
    tried.push(`Dawn failed: ${(error as Error).message}`);
  }
  return undefined;
}

/**
 * SwiftShader compiles the Vulkan extension that zeroes workgroup memory to one store per element, which takes seconds for a kernel that
 * uses all of it; without the extension Dawn writes a loop.
 */
const softwareToggles = ["disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension"];

/** Dawn's instances, for as long as the process lives: they must outlive their devices, which do not hold them. */
const instances = new Map<AdapterKind, GPU>();

/** Libraries that must stay in the process: koffi unloads one whose handle is collected. */
const loaded = new Map<string, unknown>();

function loadOnce(library: string): void {
  if (!loaded.has(library)) loaded.set(library, koffi.load(library));
}

function canLoad(library: string): boolean {
  try {
    loadOnce(library);
    return true;
  } catch {
    return false;
  }
}
