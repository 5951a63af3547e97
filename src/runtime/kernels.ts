/**
 * The kernels of a package on a device: compiled all at once, asynchronously.
 */
import { computeStage, type Device } from "./device.js";
import { DeviceError, DeviceLost } from "./errors.js";
import type { KernelInfo, Manifest } from "./manifest.js";

export interface Kernel {
  readonly info: KernelInfo;
  readonly pipeline: GPUComputePipeline;
  /** Bindings in order, parameters last where there are any. */
  readonly layout: GPUBindGroupLayout;
}

/** Reads a file of the package, by its name in the manifest. */
export type ReadText = (file: string) => Promise<string>;

/** Compiles every kernel of the manifest. The first that the device refuses is a DeviceError that names it. */
export async function compileKernels(
  device: Device,
  manifest: Manifest,
  readText: ReadText,
): Promise<ReadonlyMap<string, Kernel>> {
  const texts = new Map<string, Promise<string>>();
  const textOf = (file: string) => {
    const text = texts.get(file) ?? readText(file);
    texts.set(file, text);
    return text;
  };
  // All are waited for even when one fails: a device that is closed while it compiles takes some drivers down.
  const kernels = await everyOf(
    manifest.kernels.map(async (info) => compileKernel(device, info, await textOf(info.file))),
  );
  return new Map(kernels.map((kernel) => [kernel.info.name, kernel]));
}

/** As `Promise.all`, but rejects only when nothing is under way any more. */
export async function everyOf<T extends readonly unknown[]>(
  promises: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}

async function compileKernel(device: Device, info: KernelInfo, code: string): Promise<Kernel> {
  const { gpu } = device;
  const refused = (reason: string, cause: unknown) =>
    new DeviceError(`the device refused the kernel ${info.name} (${info.file}): ${reason}`, {
      details: { kernel: info.name, file: info.file },
      cause,
    });
  let module: GPUShaderModule | undefined;
  try {
    const { layout, pipelineLayout } = await device.checked(info.name, () => {
      module = gpu.createShaderModule({ label: info.file, code });
      const layout = gpu.createBindGroupLayout({ label: info.name, entries: layoutEntries(info) });
      return { layout, pipelineLayout: gpu.createPipelineLayout({ label: info.name, bindGroupLayouts: [layout] }) };
    });
    const compute = { module: module!, entryPoint: info.entryPoint };
    const creation = gpu.createComputePipelineAsync({ label: info.name, layout: pipelineLayout, compute });
    return { info, layout, pipeline: await device.wait(creation) };
  } catch (cause) {
    if (cause instanceof DeviceLost) throw cause;
    const messages = (await module?.getCompilationInfo())?.messages ?? [];
    const first = messages.find(({ type }) => type === "error");
    throw refused(first ? `${first.lineNum}:${first.linePos} ${first.message}` : (cause as Error).message, cause);
  }
}

function layoutEntries({ bindings, parameterBytes }: KernelInfo): GPUBindGroupLayoutEntry[] {
  const entries: GPUBindGroupLayoutEntry[] = bindings.map(({ access }, binding) => ({
    binding,
    visibility: computeStage,
    buffer: { type: access === "read" ? "read-only-storage" : "storage" },
  }));
  if (parameterBytes > 0) {
    entries.push({
      binding: bindings.length,
      visibility: computeStage,
      buffer: { type: "uniform", minBindingSize: parameterBytes },
    });
  }
  return entries;
}
