/**
 * The kernels of a package on a CUDA device.
 *
 * A package may carry a fat binary and PTX; the driver compiles the latter for whatever device there is. Where the driver takes neither,
 * because the device is newer than the binary or the driver older than the PTX, modules are built from the kernels' texts.
 */
import { type DeviceKernels, everyOf, type KernelFiles } from "../compute-device.js";
import { DeviceError, PhdcError } from "../errors.js";
import type { KernelInfo, Manifest } from "../manifest.js";
import type { CheckedDriver } from "./checked-driver.js";
import type { CudaDescription } from "./device-info.js";
import { cuResult, jitErrorLogBuffer, jitErrorLogBufferBytes } from "./driver.js";
import { earlyLaunchFeature, leastDriverForEarlyLaunch, leastForEarlyLaunch } from "./launch-config.js";
import type { ModuleBuilder, ModuleSource } from "./module-builder.js";

/** With these the driver says that an image is not for it, which is no error while there is another. */
const refusals: ReadonlySet<number> = new Set([
  cuResult.invalidImage,
  cuResult.noBinaryForGpu,
  cuResult.invalidPtx,
  cuResult.jitCompilerNotFound,
  cuResult.unsupportedPtxVersion,
  cuResult.invalidSource,
]);

const logBytes = 16384;

/** A kernel that can be launched. */
export interface LoadedKernel {
  readonly handle: bigint;
  /** It waits by itself for the kernel before it, so it may begin while that one still runs. */
  readonly beginsEarly: boolean;
}

export class CudaKernels implements DeviceKernels {
  readonly #driver: CheckedDriver;
  readonly #manifest: Manifest;
  readonly #files: KernelFiles;
  readonly #builders: readonly ModuleBuilder[];
  readonly #device: CudaDescription;
  readonly #modules: bigint[] = [];
  readonly #functions = new Map<string, LoadedKernel>();
  /** What became of the package's own module: true once it is loaded, or why the driver refused it. */
  #ready: Promise<true | readonly string[]> | undefined;
  /** Kernels that are being built. */
  readonly #building = new Map<string, Promise<void>>();
  #closed = false;

  constructor(
    driver: CheckedDriver,
    manifest: Manifest,
    files: KernelFiles,
    builders: readonly ModuleBuilder[],
    device: CudaDescription,
  ) {
    this.#driver = driver;
    this.#manifest = manifest;
    this.#files = files;
    this.#builders = builders;
    this.#device = device;
  }

  async prepare(names: Iterable<string>): Promise<void> {
    const wanted = [...new Set(names)].filter((name) => !this.#functions.has(name));
    if (wanted.length === 0) return;
    this.#ready ??= this.#loadReady();
    const loaded = await this.#ready;
    if (loaded === true) return;
    const missing = wanted.filter((name) => !this.#building.has(name));
    if (missing.length > 0) {
      const built = this.#build(missing, loaded);
      // Whoever waits for the kernels is told; nobody else is.
      built.catch(() => undefined);
      for (const name of missing) this.#building.set(name, built);
    }
    await everyOf(wanted.map((name) => this.#building.get(name)!));
  }

  kernelOf(name: string): LoadedKernel {
    const found = this.#functions.get(name);
    if (found === undefined) throw new Error(`the kernel ${name} was not prepared`);
    return found;
  }

  close(): void {
    this.#closed = true;
    for (const module of this.#modules) {
      this.#driver.release("a module", "cuModuleUnload", module);
      this.#driver.resources.released("module");
    }
    this.#modules.length = 0;
    this.#functions.clear();
  }

  /** The fat binary, else the PTX. */
  async #loadReady(): Promise<true | readonly string[]> {
    const { fatbin, ptx } = this.#manifest.modules ?? {};
    const { readBytes } = this.#files;
    const { kernels } = this.#manifest;
    const { computeCapability } = this.#device;
    const exact = fatbin?.architectures.some((name) => name.replace(/a$/, "") === `sm_${computeCapability}`);
    const images = [
      { file: fatbin?.file, compiledFor: exact ? computeCapability : 0 },
      { file: ptx?.file, compiledFor: Number(ptx?.architecture.replace("compute_", "")) },
    ];
    const refused: string[] = [];
    for (const { file, compiledFor } of images) {
      if (file === undefined || readBytes === undefined) continue;
      const reason = this.#load(file, zeroEnded(await readBytes(file)), kernels, compiledFor);
      if (reason === undefined) return true;
      refused.push(reason);
    }
    return refused;
  }

  async #build(names: readonly string[], refused: readonly string[]): Promise<void> {
    const source = await this.#sourceOf(names);
    const tried = [...refused];
    for (const builder of this.#builders) {
      try {
        for (const { image, kernels } of await builder.build(source)) {
          const infos = source.kernels.map(({ info }) => info).filter(({ name }) => kernels.includes(name));
          const what = `what ${builder.name} made of ${kernels.join(", ")}`;
          const reason = this.#load(what, image, infos, this.#device.computeCapability);
          if (reason !== undefined) throw new DeviceError(reason);
        }
        return;
      } catch (error) {
        if (!(error instanceof PhdcError) || error.code === "device-lost" || error.code === "out-of-memory")
          throw error;
        tried.push(`${builder.name}: ${error.message}${error.hint === undefined ? "" : `\n${error.hint}`}`);
      }
    }
    throw new DeviceError(`no module for the kernels ${names.join(", ")}: ${tried.join("; ") || "nothing makes one"}`, {
      details: { kernels: names, tried },
      hint: "Compile the package where nvcc is on the path, or install NVRTC with the CUDA headers. `phdc doctor` shows what was found.",
    });
  }

  async #sourceOf(names: readonly string[]): Promise<ModuleSource> {
    const { kernels, modules } = this.#manifest;
    const infos = names.map((name) => {
      const info = kernels.find((kernel) => kernel.name === name);
      if (info === undefined) throw new Error(`the manifest has no kernel ${name}`);
      return info;
    });
    const texts = await Promise.all(infos.map(async (info) => ({ info, text: await this.#files.readText(info.file) })));
    const headers = await Promise.all(
      (modules?.headers ?? []).map(
        async ({ file }) => [file.slice(file.lastIndexOf("/") + 1), await this.#files.readText(file)] as const,
      ),
    );
    return { kernels: texts, headers: new Map(headers), computeCapability: this.#device.computeCapability };
  }

  /**
   * Loads an image with these kernels, whose text was compiled for a compute capability; gives the reason when the driver says that the
   * image is not for it.
   */
  #load(what: string, image: Uint8Array, infos: readonly KernelInfo[], compiledFor: number): string | undefined {
    if (this.#closed) throw new DeviceError(`${what} was ready after its model was closed`);
    const { memory, resources } = this.#driver;
    const log = memory.allocate(logBytes);
    try {
      memory.view(log, logBytes).fill(0);
      const module = new BigUint64Array(1);
      const options = Int32Array.of(jitErrorLogBuffer, jitErrorLogBufferBytes);
      const values = BigUint64Array.of(log, BigInt(logBytes));
      const result = this.#driver.result("cuModuleLoadDataEx", module, image, options.length, options, values);
      if (result !== cuResult.success) {
        const error = this.#driver.error(what, "cuModuleLoadDataEx", result);
        if (!refusals.has(result)) throw error;
        const words = memory.text(log).trim();
        return words === "" ? error.message : `${error.message}: ${words}`;
      }
      this.#modules.push(module[0]!);
      resources.created("module");
      for (const info of infos) {
        const name = `the kernel ${info.name}`;
        const handle = this.#driver.create(name, "cuModuleGetFunction", module[0]!, info.entryPoint);
        this.#functions.set(info.name, { handle, beginsEarly: this.#beginsEarly(info, compiledFor) });
      }
      return undefined;
    } finally {
      memory.free(log);
    }
  }

  #beginsEarly({ features }: KernelInfo, compiledFor: number): boolean {
    return (
      features.includes(earlyLaunchFeature) &&
      compiledFor >= leastForEarlyLaunch &&
      this.#device.driver >= leastDriverForEarlyLaunch
    );
  }
}

/** PTX is read as a text that ends in a zero; after a fat binary it does no harm. */
function zeroEnded(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(bytes.byteLength + 1);
  copy.set(bytes);
  return copy;
}
