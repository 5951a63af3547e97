/**
 * The kernels of a package on a device: compiled all at once, asynchronously.
 */
import { computeStage, type Device } from "./device.js";
import { DeviceError } from "./errors.js";
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
  const kernels = await Promise.all(
    manifest.kernels.map(async (info) => compileKernel(device, info, await textOf(info.file))),
  );
  return new Map(kernels.map((kernel) => [kernel.info.name, kernel]));
}

async function compileKernel(device: Device, info: KernelInfo, code: string): Promise<Kernel> {
  const { gpu } = device;
  const layout = gpu.createBindGroupLayout({ label: info.name, entries: layoutEntries(info) });
  const module = gpu.createShaderModule({ label: info.file, code });
  try {
    const pipeline = await device.wait(
      gpu.createComputePipelineAsync({
        label: info.name,
        layout: gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: info.entryPoint },
      }),
    );
    return { info, pipeline, layout };
  } catch (cause) {
    const { messages } = await module.getCompilationInfo();
    const first = messages.find(({ type }) => type === "error");
    const reason =
      first === undefined ? (cause as Error).message : `${first.lineNum}:${first.linePos} ${first.message}`;
    throw new DeviceError(`the device refused the kernel ${info.name} (${info.file}): ${reason}`, {
      details: { kernel: info.name, file: info.file },
      cause,
    });
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
