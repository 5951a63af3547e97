/** The platform's adapter, whichever library declares its type: TypeScript's own, `@webgpu/types`, Deno's, or none. */
import { type Device, openDevice as openAdapter } from "../../../../runtime/webgpu/device.js";

/** What every declaration of `GPUAdapter` has in common. */
export interface PlatformAdapter {
  readonly features: ReadonlySet<string>;
  readonly limits: object;
  readonly info: object;
  requestDevice(...descriptor: never[]): Promise<object>;
}

/** Opens a device with the adapter's best limits and every feature that kernels can use. */
export function openDevice(adapter: PlatformAdapter): Promise<Device> {
  return openAdapter(adapter as unknown as GPUAdapter);
}
