/** The CUDA devices of this machine, through the driver's library. */
import { CudaDevice } from "../../../../runtime/cuda/device.js";
import { loadDriver } from "../../../../runtime/cuda/koffi-driver.js";
import type { ModuleBuilder } from "../../../../runtime/cuda/module-builder.js";
import { nvrtcBuilder } from "../../../../runtime/cuda/nvrtc.js";

export interface DeviceOptions {
  /** Which of the devices that the driver lists; the first when left out. */
  readonly ordinal?: number;
  /** The driver's library, by name or path; the system's own when left out. */
  readonly driver?: string;
  /** What compiles kernels that the package holds no machine code for, tried in this order; NVRTC when left out. */
  readonly builders?: readonly ModuleBuilder[];
}

/** Opens a device. Throws NoAdapter, with the reason, where there is no driver or no such device. */
export function openDevice({ ordinal = 0, driver, builders = [nvrtcBuilder()] }: DeviceOptions = {}): CudaDevice {
  return CudaDevice.open(loadDriver(driver), { ordinal, builders });
}
