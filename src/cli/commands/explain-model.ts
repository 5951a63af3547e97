import { compileSource } from "../../compile.js";
import { usageDiagnostics } from "../../diagnostics/catalogue-usage.js";
import { type Compared, type Explanation, explain, type GroupPlan } from "../../explain/explain.js";
import { portableCapabilities } from "../../ir/kernel/capabilities.js";
import { readSource } from "../files.js";
import { formatBytes, formatCount, formatLarge, formatTable } from "../format.js";
import { programOf } from "../open-model.js";
import { exitCodes, UsageError } from "../report.js";
import type { Terminal } from "../terminal.js";
import type { ExplainOptions } from "./explain.js";

/** Length of the prompt where `--set n=…` does not say. */
const usualLength = 1024;

/** `phdc explain FILE`: caches, rows and work of a model, with the part of its relation that decides each. */
export async function explainModel(terminal: Terminal, path: string, options: ExplainOptions): Promise<number> {
  const { n: length, ...set } = options.set;
  const n = length === undefined ? usualLength : Number(length);
  if (!Number.isInteger(n) || n < 1) {
    throw new UsageError(
      usageDiagnostics.badValue({ option: "--set n", value: String(length), expected: "a whole number from 1" }),
    );
  }
  const half = options.dtype === "f16";
  const compilation = compileSource(await readSource(terminal, path), {
    target: "webgpu",
    set,
    dtype: half ? "f16" : "f32",
    capabilities: { ...portableCapabilities, f16: half },
  });
  const explanation = explain(programOf(terminal, compilation, options.json === true), n);
  terminal.out(options.json ? `${JSON.stringify(explanation, null, 2)}\n` : render(explanation));
  return exitCodes.ok;
}

function render(explanation: Explanation): string {
  const { model, copies, n, layers } = explanation;
  const runs = runsOfLayers(layers);
  const rows = runs.map(({ plan, first, last }) => [
    first === last ? String(first) : `${first} to ${last}`,
    plan.group,
    formatCount(plan.kv_rows),
    formatCount(plan.query_rows),
    formatCount(plan.ffn_rows),
    formatCount(plan.retained),
    formatBytes(plan.bytes),
    plan.retention,
  ]);
  const heading = ["layer", "group", "k/v rows", "query rows", "ffn rows", "kept", "bytes", "how long"];
  const reasons = new Map(runs.map(({ plan }) => [`${plan.group}, ${plan.retention}`, plan.reason]));
  return [
    `${model}: K = ${copies}, a prompt of n = ${formatCount(n)} positions`,
    "",
    formatTable([heading, ...rows]),
    "",
    "Because of",
    ...[...reasons].map(([what, reason]) => `  ${what}: ${reason}`),
    "",
    formatTable([
      ["", "this model", "K = 1", "ratio"],
      compared("keys and values kept", explanation.kv_bytes, formatBytes),
      compared("prefill, FLOP in products", explanation.prefill_flops, formatLarge),
      compared("decode step, FLOP in products", explanation.decode_flops, formatLarge),
      compared("decode step, bytes read", explanation.decode_bytes, formatBytes),
    ]),
    "",
  ].join("\n");
}

function compared(what: string, { value, single }: Compared, format: (value: number) => string): readonly string[] {
  return [what, format(value), format(single), single === 0 ? "" : `×${(value / single).toFixed(3)}`];
}

/** Neighbouring layers whose plan for a group is the same share a row; groups stay in their order inside a run. */
function runsOfLayers(plans: readonly GroupPlan[]): readonly { plan: GroupPlan; first: number; last: number }[] {
  const same = (a: GroupPlan, b: GroupPlan) =>
    JSON.stringify({ ...a, layer: 0 }) === JSON.stringify({ ...b, layer: 0 });
  const layers = new Map<number, GroupPlan[]>();
  for (const plan of plans) layers.set(plan.layer, [...(layers.get(plan.layer) ?? []), plan]);
  const runs: { plans: readonly GroupPlan[]; first: number; last: number }[] = [];
  for (const [layer, of] of layers) {
    const run = runs.at(-1);
    if (run?.plans.every((plan, index) => same(plan, of[index]!))) run.last = layer;
    else runs.push({ plans: of, first: layer, last: layer });
  }
  return runs.flatMap(({ plans: of, first, last }) => of.map((plan) => ({ plan, first, last })));
}
