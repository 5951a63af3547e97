/** What a CUDA device is and offers, as plain data. */
import type { CheckedDriver } from "./checked-driver.js";
import { attribute } from "./driver.js";

export interface CudaDescription {
  /** One line for people: `NVIDIA H100 (sm_90, CUDA driver 13.0)`. */
  readonly name: string;
  readonly model: string;
  /** As in `sm_90`: 90. */
  readonly computeCapability: number;
  /** The newest CUDA version that the driver knows: 13.0. */
  readonly driverVersion: string;
  /** The same as the driver says it: 13000. */
  readonly driver: number;
  /** Bytes. */
  readonly memoryBytes: number;
  readonly multiprocessors: number;
  readonly maxThreadsPerBlock: number;
  readonly maxSharedMemoryPerBlock: number;
}

const longestName = 256;

export function describeDevice(driver: CheckedDriver, device: number): CudaDescription {
  const read = (name: keyof typeof attribute) =>
    driver.number("describing the device", "cuDeviceGetAttribute", attribute[name], device);
  const name = new Uint8Array(longestName);
  driver.call("describing the device", "cuDeviceGetName", name, longestName, device);
  const model = new TextDecoder().decode(name.subarray(0, name.indexOf(0)));
  const version = driver.number("describing the driver", "cuDriverGetVersion");
  const driverVersion = `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;
  const computeCapability = read("computeCapabilityMajor") * 10 + read("computeCapabilityMinor");
  return {
    name: `${model} (sm_${computeCapability}, CUDA driver ${driverVersion})`,
    model,
    computeCapability,
    driverVersion,
    driver: version,
    memoryBytes: Number(driver.create("describing the device", "cuDeviceTotalMem_v2", device)),
    multiprocessors: read("multiprocessorCount"),
    maxThreadsPerBlock: read("maxThreadsPerBlock"),
    maxSharedMemoryPerBlock: read("maxSharedMemoryPerBlock"),
  };
}
