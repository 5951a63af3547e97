/** Choosing where to run. A device that was named is never replaced by another; `auto` says on stderr what it took. */

import { usageDiagnostics } from "../diagnostics/catalogue-usage.js";
import { NoAdapter } from "../runtime/errors.js";
import type { FoundAdapter } from "../runtime/node/adapter.js";
import type { DeviceName, DtypeName } from "./options.js";
import { UsageError } from "./report.js";
import type { Terminal } from "./terminal.js";

export type ChosenDevice =
  | { readonly kind: "webgpu"; readonly found: FoundAdapter; readonly dtype: "f32" | "f16"; readonly name: string }
  | { readonly kind: "cpu"; readonly name: string };

/** The interpreter's name in messages and reports. */
const cpuName = "the CPU interpreter (float64)";

export async function chooseDevice(terminal: Terminal, device: DeviceName, dtype: DtypeName): Promise<ChosenDevice> {
  if (device === "cpu") return chooseCpu(dtype);
  const { findAdapter } = await import("../runtime/node/adapter.js");
  try {
    const found = await findAdapter("any");
    const { name, software, features } = found.description;
    const half = features.includes("shader-f16");
    const chosen: ChosenDevice = {
      kind: "webgpu",
      found,
      name: software ? `${name}, a software adapter` : name,
      dtype: dtype === "auto" ? (half ? "f16" : "f32") : dtype,
    };
    if (device === "auto") terminal.err(`Running on WebGPU: ${chosen.name}, ${chosen.dtype}\n`);
    return chosen;
  } catch (error) {
    if (device !== "auto" || !(error instanceof NoAdapter)) throw error;
    const chosen = chooseCpu(dtype);
    terminal.err(`Running on ${chosen.name}: ${error.message}\n`);
    return chosen;
  }
}

function chooseCpu(dtype: DtypeName): ChosenDevice {
  if (dtype === "f16") {
    const reason = "--dtype f16 needs WebGPU; the CPU interpreter computes in float64";
    throw new UsageError(usageDiagnostics.optionsConflict({ reason }));
  }
  return { kind: "cpu", name: cpuName };
}
