/**
 * From calls to bound calls: which buffer each binding stands for, and the bytes of the parameters.
 */
import type { BufferTable } from "./buffers.js";
import type { BoundCall } from "./compute-device.js";
import type { KernelInfo, Manifest } from "./manifest.js";
import type { Call } from "./program.js";

export class CallBinder {
  readonly #infos: ReadonlyMap<string, KernelInfo>;
  readonly #table: BufferTable;

  constructor(manifest: Manifest, table: BufferTable) {
    this.#infos = new Map(manifest.kernels.map((info) => [info.name, info]));
    this.#table = table;
  }

  bind(calls: readonly Call[], phase: "prefill" | "decode"): BoundCall[] {
    return calls.map((call) => {
      const info = this.#infos.get(call.kernel);
      if (info === undefined) throw new Error(`the manifest has no kernel ${call.kernel}`);
      const buffers = info.bindings.map(({ name }) => {
        const source = call.bindings[name];
        if (source === undefined) throw new Error(`the step ${call.step} binds nothing to ${name}`);
        return this.#table.find(source, { phase, layer: call.layer, part: call.part });
      });
      return { ...call, info, buffers, block: parameterBlock(info, call.parameters) };
    });
  }
}

/** The parameter struct of a call. */
function parameterBlock(info: KernelInfo, values: Readonly<Record<string, number>>): Uint8Array {
  const block = new DataView(new ArrayBuffer(info.parameterBytes));
  for (const { name, type, offset } of info.parameters) {
    const value = values[name];
    if (value === undefined) throw new Error(`the kernel ${info.name} is given no ${name}`);
    if (type === "f32") block.setFloat32(offset, value, true);
    else if (type === "i32") block.setInt32(offset, value, true);
    else block.setUint32(offset, value, true);
  }
  return new Uint8Array(block.buffer);
}
