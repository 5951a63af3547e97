/** Hand-built models, compiled down to a manifest that the kernel interpreter runs. */
import { emitCuda } from "../../src/backends/cuda/module.js";
import { emitWgsl } from "../../src/backends/wgsl/module.js";
import type { Graph } from "../../src/ir/graph/ops.js";
import { type Capabilities, portableCapabilities } from "../../src/ir/kernel/capabilities.js";
import type { Kernel } from "../../src/ir/kernel/kernel.js";
import type { FloatType } from "../../src/ir/kernel/types.js";
import type { Tuning } from "../../src/kernels/tuning.js";
import { analyseTokens } from "../../src/passes/analyse-tokens.js";
import { runPasses } from "../../src/passes/pass.js";
import { graphPipeline } from "../../src/passes/pipeline.js";
import type { Manifest, Quantisation } from "../../src/runtime/manifest.js";
import { completeManifest } from "../../src/schedule/complete-manifest.js";
import { scheduleFacts } from "../../src/schedule/facts.js";
import { printKernel } from "../../src/schedule/kernel-info.js";
import { schedule } from "../../src/schedule/schedule.js";

export interface ScheduledModel {
  readonly graph: Graph;
  readonly manifest: Manifest;
  readonly kernels: readonly Kernel[];
}

export interface ScheduledOptions {
  readonly dtype?: FloatType;
  readonly capabilities?: Capabilities;
  readonly target?: Manifest["target"];
  readonly quantise?: Quantisation;
  readonly tuning?: Partial<Tuning>;
}

export function scheduleGraph(
  lowered: Graph,
  { dtype = "f32", capabilities = portableCapabilities, target = "webgpu", quantise, tuning }: ScheduledOptions = {},
): ScheduledModel {
  const graph = runPasses(graphPipeline, lowered);
  const scheduled = schedule(graph, scheduleFacts(analyseTokens(graph), graph), {
    ...{ dtype, capabilities },
    ...(quantise && { quantise }),
    ...(tuning && { tuning }),
  });
  const printed = scheduled.kernels.map((kernel) =>
    target === "cuda" ? printKernel(kernel, "cuda", emitCuda) : printKernel(kernel, "wgsl", emitWgsl),
  );
  const identity = { source: "test.phd", generator: "test", target };
  return { graph, manifest: completeManifest(graph, scheduled, printed, identity), kernels: scheduled.kernels };
}
