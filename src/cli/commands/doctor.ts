import { NoAdapter } from "../../runtime/errors.js";
import { findAdapter } from "../../runtime/node/adapter.js";
import type { AdapterDescription } from "../../runtime/webgpu/adapter-info.js";
import { version } from "../../version.js";
import { type CudaReport, describeCuda, isUsable, reportCuda } from "../cuda-report.js";
import { formatBytes } from "../format.js";
import { exitCodes } from "../report.js";
import type { Terminal } from "../terminal.js";

/** What one kind of adapter search gave. */
interface Finding {
  readonly kind: "hardware" | "software";
  readonly adapter?: AdapterDescription;
  readonly reason?: string;
}

/** `phdc doctor`: the devices of this machine, what runs on them, and what does not and why. */
export async function doctorCommand(terminal: Terminal, options: { readonly json?: boolean }): Promise<number> {
  const findings = [await search("hardware"), await search("software")];
  const cuda = await reportCuda();
  const webgpu = findings.some((finding) => finding.adapter !== undefined);
  const report = {
    phdc: version,
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    webgpu: findings,
    cuda,
    auto: isUsable(cuda) ? "cuda" : webgpu ? "webgpu" : "cpu",
  };
  if (options.json) terminal.out(`${JSON.stringify(report, null, 2)}\n`);
  else terminal.out(renderReport(report));
  return exitCodes.ok;
}

async function search(kind: "hardware" | "software"): Promise<Finding> {
  try {
    const { description } = await findAdapter(kind);
    return { kind, adapter: description };
  } catch (error) {
    if (error instanceof NoAdapter) return { kind, reason: error.message };
    throw error;
  }
}

function renderReport(report: {
  readonly phdc: string;
  readonly node: string;
  readonly platform: string;
  readonly webgpu: readonly Finding[];
  readonly cuda: CudaReport;
  readonly auto: string;
}): string {
  const lines = [`phdc ${report.phdc} on Node ${report.node}, ${report.platform}`, ""];
  for (const { kind, adapter, reason } of report.webgpu) {
    if (adapter === undefined) {
      lines.push(`WebGPU, ${kind}: none`, `  ${reason}`);
    } else {
      lines.push(`WebGPU, ${kind}: ${adapter.name}`, ...describeAbilities(adapter).map((line) => `  ${line}`));
    }
  }
  lines.push(...describeCuda(report.cuda));
  lines.push("CPU interpreter: always there (float64, slow)");
  lines.push("", `--device auto takes ${report.auto}.`);
  return `${lines.join("\n")}\n`;
}

/** What an adapter can do for phdc, and what it cannot, with the consequence. */
function describeAbilities(adapter: AdapterDescription): readonly string[] {
  const has = (feature: string) => adapter.features.includes(feature);
  const { limits } = adapter;
  const sizes = adapter.subgroupSizes;
  return [
    has("subgroups")
      ? `subgroups: yes${sizes === undefined ? "" : ` (${sizes[0] === sizes[1] ? sizes[0] : sizes.join(" to ")} lanes)`}`
      : "subgroups: no; kernels reduce through workgroup memory",
    has("shader-f16") ? "f16: yes" : "f16: no; --dtype f16 will not run, auto takes f32",
    `largest binding ${formatBytes(limits["maxStorageBufferBindingSize"] ?? 0)}, largest buffer ${formatBytes(limits["maxBufferSize"] ?? 0)}; larger vocabulary tables are split`,
    `${limits["maxStorageBuffersPerShaderStage"]} storage buffers per kernel, ${limits["maxComputeInvocationsPerWorkgroup"]} invocations and ${formatBytes(limits["maxComputeWorkgroupStorageSize"] ?? 0)} of memory per workgroup`,
    ...(adapter.software ? ["it computes on the CPU: right results, no speed"] : []),
  ];
}
