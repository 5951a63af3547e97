/** Modules made from kernel texts on the spot, for packages without ready ones and drivers that refuse these. */
import type { KernelInfo } from "../manifest.js";

export interface KernelText {
  readonly info: KernelInfo;
  readonly text: string;
}

/** The texts of some kernels, and what they include. */
export interface ModuleSource {
  readonly kernels: readonly KernelText[];
  /** Texts by the names that `#include` uses. */
  readonly headers: ReadonlyMap<string, string>;
  /** Of the device, as in `sm_90`: 90. */
  readonly computeCapability: number;
}

/** An image that the driver loads, and the kernels in it, by their names in the manifest. */
export interface ModuleImage {
  readonly kernels: readonly string[];
  readonly image: Uint8Array;
}

export interface ModuleBuilder {
  /** In messages: `NVRTC`. */
  readonly name: string;
  /** Images that together hold all kernels. Throws DeviceError with the compiler's words when a kernel does not compile. */
  build(source: ModuleSource): Promise<readonly ModuleImage[]>;
}
