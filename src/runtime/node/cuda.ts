/** CUDA devices in Node: those of the machine, and the one that is emulated on its processor. */
import { CudaDevice, leastComputeCapability } from "../cuda/device.js";
import type { CudaDescription } from "../cuda/device-info.js";
import { loadDriver, usualDriver } from "../cuda/koffi-driver.js";
import { loadNvrtc, nvrtcBuilder } from "../cuda/nvrtc.js";
import { NoAdapter } from "../errors.js";
import { emulatedBuilder, emulatedDriver } from "./emulated-cuda.js";
import { findNvcc, nvccBuilder } from "./nvcc.js";

export interface OpenCudaOptions {
  /** Which of the devices that the driver lists; the first when left out. */
  readonly ordinal?: number;
  /** The driver's library, by name or path. */
  readonly driver?: string;
}

/** Opens a GPU. Kernels without machine code are compiled by NVRTC, else by nvcc. Throws NoAdapter where there is no driver or no GPU. */
export function openCuda({ ordinal = 0, driver = usualDriver }: OpenCudaOptions = {}): CudaDevice {
  return CudaDevice.open(loadDriver(driver), { ordinal, builders: [nvrtcBuilder(), nvccBuilder()] });
}

/** Opens the emulated device. Throws NoAdapter where there is no C++ compiler to make it with. */
export async function openEmulatedCuda(): Promise<CudaDevice> {
  return CudaDevice.open(loadDriver(await emulatedDriver(), "phdc_emulated_report"), { builders: [emulatedBuilder()] });
}

/** What makes modules of kernel texts for a GPU here, or why nothing does. */
export interface ModuleCompilers {
  readonly nvrtc: { readonly path: string; readonly version: string } | { readonly reason: string };
  readonly nvcc: { readonly path: string; readonly version: string } | { readonly reason: string };
}

export async function findCompilers(): Promise<ModuleCompilers> {
  const nvcc = await findNvcc();
  return { nvrtc: findNvrtc(), nvcc: nvcc ?? { reason: "there is no nvcc on the path" } };
}

/** Why kernels that are compiled here do not run on a GPU; undefined when they do. */
export function unusable(device: CudaDescription, { nvrtc, nvcc }: ModuleCompilers): string | undefined {
  if (device.computeCapability < leastComputeCapability) return "kernels need compute capability 8.0 or newer";
  if ("reason" in nvrtc && "reason" in nvcc) {
    return `nothing compiles kernels for it: NVRTC: ${nvrtc.reason}; nvcc: ${nvcc.reason}`;
  }
  return undefined;
}

function findNvrtc(): ModuleCompilers["nvrtc"] {
  try {
    const { path, version } = loadNvrtc();
    return { path, version };
  } catch (error) {
    if (error instanceof NoAdapter) return { reason: error.message };
    throw error;
  }
}
