/**
 * The kernels of a package on a WebGPU device.
 */
import { type DeviceKernels, everyOf, type KernelFiles } from "../compute-device.js";
import { DeviceError, DeviceLost } from "../errors.js";
import type { KernelInfo, Manifest } from "../manifest.js";
import type { Device } from "./device.js";
import { computeStage } from "./gpu-flags.js";

export interface Kernel {
  readonly info: KernelInfo;
  readonly pipeline: GPUComputePipeline;
  /** Bindings in order, parameters last where there are any. */
  readonly layout: GPUBindGroupLayout;
}

/**
 * Compiles kernels when they are first wanted, all that are wanted at a time side by side. A package has variants of a kernel for many
 * numbers of rows, and a session uses few of them.
 */
export class KernelSet implements DeviceKernels {
  readonly #device: Device;
  readonly #infos: ReadonlyMap<string, KernelInfo>;
  readonly #readText: KernelFiles["readText"];
  readonly #texts = new Map<string, Promise<string>>();
  readonly #kernels = new Map<string, Promise<Kernel>>();

  constructor(device: Device, manifest: Manifest, { readText }: KernelFiles) {
    this.#device = device;
    this.#infos = new Map(manifest.kernels.map((info) => [info.name, info]));
    this.#readText = readText;
  }

  /** The kernels of these names. The first that the device refuses is a DeviceError that names it. */
  async compiled(names: Iterable<string>): Promise<ReadonlyMap<string, Kernel>> {
    const wanted = [...new Set(names)];
    // All are waited for even when one fails: a device that is closed while it compiles takes some drivers down.
    const kernels = await everyOf(wanted.map((name) => this.#kernel(name)));
    return new Map(kernels.map((kernel) => [kernel.info.name, kernel]));
  }

  async prepare(names: Iterable<string>): Promise<void> {
    await this.compiled(names);
  }

  /** Pipelines go when nothing refers to them. */
  close(): void {}

  #kernel(name: string): Promise<Kernel> {
    let kernel = this.#kernels.get(name);
    if (kernel === undefined) {
      const info = this.#infos.get(name);
      if (info === undefined) throw new Error(`the manifest has no kernel ${name}`);
      kernel = this.#text(info.file).then((text) => compileKernel(this.#device, info, text));
      this.#kernels.set(name, kernel);
    }
    return kernel;
  }

  #text(file: string): Promise<string> {
    const text = this.#texts.get(file) ?? this.#readText(file);
    this.#texts.set(file, text);
    return text;
  }
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
