/** What `doctor` says of CUDA: the GPU, what compiles kernels for it, and the emulated device. */
import type { CudaDescription } from "../runtime/cuda/device-info.js";
import { PhdcError } from "../runtime/errors.js";
import { findCompilers, type ModuleCompilers, openCuda, openEmulatedCuda, unusable } from "../runtime/node/cuda.js";
import { formatBytes } from "./format.js";

export interface CudaReport {
  readonly device: CudaDescription | { readonly reason: string };
  readonly compilers: ModuleCompilers;
  readonly emulated: CudaDescription | { readonly reason: string };
}

export async function reportCuda(): Promise<CudaReport> {
  return {
    device: await describe(async () => openCuda()),
    compilers: await findCompilers(),
    emulated: await describe(openEmulatedCuda),
  };
}

async function describe(
  open: () => Promise<ReturnType<typeof openCuda>>,
): Promise<CudaDescription | { readonly reason: string }> {
  try {
    const device = await open();
    const { description } = device;
    device.close();
    return description;
  } catch (error) {
    // No driver, no GPU, no compiler of the host, a driver that fails: each is something to be told.
    if (error instanceof PhdcError) return { reason: error.message };
    throw error;
  }
}

/** Whether `--device auto` takes the GPU. */
export function isUsable({ device, compilers }: CudaReport): boolean {
  return !("reason" in device) && unusable(device, compilers) === undefined;
}

export function describeCuda({ device, compilers, emulated }: CudaReport): readonly string[] {
  const { nvrtc, nvcc } = compilers;
  const problem = "reason" in device ? undefined : unusable(device, compilers);
  return [
    ...("reason" in device
      ? ["CUDA: none", `  ${device.reason}`]
      : [
          `CUDA: ${device.name}`,
          `  ${formatBytes(device.memoryBytes)} of memory, ${device.multiprocessors} multiprocessors, ${device.maxThreadsPerBlock} threads and ${formatBytes(device.maxSharedMemoryPerBlock)} of memory per block`,
          ...(problem === undefined ? [] : [`  models do not run on it from here: ${problem}`]),
        ]),
    `  NVRTC: ${"reason" in nvrtc ? `none; ${nvrtc.reason}` : `${nvrtc.version} (${nvrtc.path})`}`,
    `  nvcc: ${"reason" in nvcc ? `none; ${nvcc.reason}, so packages hold kernels as text` : `${nvcc.version} (${nvcc.path})`}`,
    ...("reason" in emulated
      ? ["CUDA, emulated: none", `  ${emulated.reason}`]
      : [`CUDA, emulated: ${emulated.name}`, "  it computes on the CPU: right results, no speed"]),
  ];
}
