/** Hand-built models, compiled down to a manifest that the kernel interpreter runs. */
import { emitWgsl } from "../../src/backends/wgsl/module.js";
import type { Graph } from "../../src/ir/graph/ops.js";
import { type Capabilities, portableCapabilities } from "../../src/ir/kernel/capabilities.js";
import type { Kernel } from "../../src/ir/kernel/kernel.js";
import { analyseTokens } from "../../src/passes/analyse-tokens.js";
import { runPasses } from "../../src/passes/pass.js";
import { graphPipeline } from "../../src/passes/pipeline.js";
import type { Manifest } from "../../src/runtime/manifest.js";
import { completeManifest } from "../../src/schedule/complete-manifest.js";
import { scheduleFacts } from "../../src/schedule/facts.js";
import { printKernel } from "../../src/schedule/kernel-info.js";
import { schedule } from "../../src/schedule/schedule.js";

export interface ScheduledModel {
  readonly graph: Graph;
  readonly manifest: Manifest;
  readonly kernels: readonly Kernel[];
}

export function scheduleGraph(
  lowered: Graph,
  { dtype = "f32", capabilities = portableCapabilities }: { dtype?: "f32" | "f16"; capabilities?: Capabilities } = {},
): ScheduledModel {
  const graph = runPasses(graphPipeline, lowered);
  const scheduled = schedule(graph, scheduleFacts(analyseTokens(graph), graph), { dtype, capabilities });
  const printed = scheduled.kernels.map((kernel) => printKernel(kernel, "wgsl", emitWgsl));
  const identity = { source: "test.phd", generator: "test", target: "webgpu" } as const;
  return { graph, manifest: completeManifest(graph, scheduled, printed, identity), kernels: scheduled.kernels };
}
