/** The CUDA devices of this machine, through the driver's library. */
import { CudaDevice } from "../../../../runtime/cuda/device.js";
import { loadDriver } from "../../../../runtime/cuda/koffi-driver.js";
import { nvrtcBuilder } from "../../../../runtime/cuda/nvrtc.js";

export interface DeviceOptions {
  /** Which of the devices that the driver lists; the first when left out. */
  readonly ordinal?: number;
  /** The driver's library, by name or path; the system's own when left out. */
  readonly driver?: string;
}

/**
 * Opens a device. Throws NoAdapter, with the reason, where there is no driver or no such device. Kernels that the package holds no
 * machine code for are compiled with NVRTC, where that is installed.
 */
export function openDevice({ ordinal = 0, driver }: DeviceOptions = {}): CudaDevice {
  return CudaDevice.open(loadDriver(driver), { ordinal, builders: [nvrtcBuilder()] });
}
