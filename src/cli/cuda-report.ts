/** What `doctor` says of CUDA: the GPU, what compiles kernels for it, and the emulated device. */
import type { CudaDescription } from "../runtime/cuda/device-info.js";
import { PhdcError } from "../runtime/errors.js";
import { findCompilers, type ModuleCompilers, openCuda, openEmulatedCuda } from "../runtime/node/cuda.js";
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

/** A GPU that `--device auto` takes: there, and with something that compiles kernels for it. */
export function isUsable({ device, compilers }: CudaReport): boolean {
  return !("reason" in device) && !("reason" in compilers.nvrtc && "reason" in compilers.nvcc);
}

export function describeCuda({ device, compilers, emulated }: CudaReport): readonly string[] {
  const { nvrtc, nvcc } = compilers;
  const none = "reason" in nvrtc && "reason" in nvcc;
  return [
    ...("reason" in device
      ? ["CUDA: none", `  ${device.reason}`]
      : [
          `CUDA: ${device.name}`,
          `  ${formatBytes(device.memoryBytes)} of memory, ${device.multiprocessors} multiprocessors, ${device.maxThreadsPerBlock} threads and ${formatBytes(device.maxSharedMemoryPerBlock)} of memory per block`,
          ...(device.computeCapability < 80
            ? ["  kernels need compute capability 8.0 or newer, so nothing will run on it"]
            : []),
          ...(none ? ["  nothing compiles kernels here: only packages with machine code or PTX will run"] : []),
        ]),
    `  NVRTC: ${"reason" in nvrtc ? `none; ${nvrtc.reason}` : nvrtc.path}`,
    `  nvcc: ${"reason" in nvcc ? `none; ${nvcc.reason}, so packages hold kernels as text` : `${nvcc.version} (${nvcc.path})`}`,
    ...("reason" in emulated
      ? ["CUDA, emulated: none", `  ${emulated.reason}`]
      : [`CUDA, emulated: ${emulated.name}`, "  it computes on the CPU: right results, no speed"]),
  ];
}
