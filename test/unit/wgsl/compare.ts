import { expect } from "vitest";
import { type BufferData, runKernel } from "../../../src/interpret/kernel/run-kernel.js";
import { halfFromBits } from "../../../src/ir/kernel/half.js";
import { type Kernel, paramsSize } from "../../../src/ir/kernel/kernel.js";

/** What a kernel is given, on a device and in the interpreter alike. */
export interface DeviceRun {
  readonly buffers: Readonly<Record<string, BufferData>>;
  readonly params: Readonly<Record<string, number>>;
  readonly workgroups: readonly [x: number, y: number, z: number];
}

/** The buffers of a run after the interpreter has run the kernel on copies of them. */
export function interpreted(kernel: Kernel, run: DeviceRun, subgroupSize: number): Record<string, BufferData> {
  const copies = Object.entries(run.buffers).map(([name, data]) => [name, data.slice() as BufferData] as const);
  const buffers = Object.fromEntries(copies);
  runKernel(kernel, { ...run, buffers, subgroupSize, detectRaces: true });
  return buffers;
}

/** Integers must agree exactly, floats up to `tolerance` relative to 1 + |value|. `Uint16Array`s hold f16. */
export function expectAgreement(
  found: Readonly<Record<string, BufferData>>,
  expected: Readonly<Record<string, BufferData>>,
  tolerance: number,
): void {
  for (const [name, data] of Object.entries(expected)) {
    const isHalf = data instanceof Uint16Array;
    const read = (value: number) => (isHalf ? halfFromBits(value) : value);
    data.forEach((bits, i) => {
      const value = read(bits);
      const other = read(found[name]![i]!);
      const limit = isHalf || data instanceof Float32Array ? tolerance * (1 + Math.abs(value)) : 0;
      expect(Math.abs(other - value), `${name}[${i}]: ${other} for ${value}`).toBeLessThanOrEqual(limit);
    });
  }
}

/** The bytes of the uniform binding. */
export function encodeParams(kernel: Kernel, params: Readonly<Record<string, number>>): ArrayBuffer {
  const view = new DataView(new ArrayBuffer(paramsSize(kernel)));
  for (const { name, type, offset } of kernel.params) {
    const value = params[name]!;
    if (type === "f32") view.setFloat32(offset, value, true);
    else if (type === "i32") view.setInt32(offset, value, true);
    else view.setUint32(offset, value, true);
  }
  return view.buffer;
}
