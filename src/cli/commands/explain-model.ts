import { type CompileOptions, compileSource, type Program } from "../../compile.js";
import { usageDiagnostics } from "../../diagnostics/catalogue-usage.js";
import { type Compared, type Explanation, explain, type GroupPlan } from "../../explain/explain.js";
import { maskPictures } from "../../explain/mask-picture.js";
import { drawMasks } from "../../explain/mask-svg.js";
import { printMask } from "../../explain/mask-text.js";
import { portableCapabilities } from "../../ir/kernel/capabilities.js";
import { evaluate, printExpr } from "../../runtime/expr.js";
import { writeFileAtomic } from "../../runtime/node/atomic-write.js";
import { readSource } from "../files.js";
import { formatBytes, formatCount, formatLarge, formatTable } from "../format.js";
import { programOf } from "../open-model.js";
import { quantisationOf } from "../options.js";
import { exitCodes, UsageError } from "../report.js";
import type { Terminal } from "../terminal.js";
import type { ExplainOptions } from "./explain.js";

/** Length of the prompt where `--set n=…` does not say. */
const usualLength = 1024;

/** Tokens of a drawn prompt where `--set n=…` does not say, and the most that a terminal and a picture can show. */
const drawnTokens = { usual: 48, text: 160, svg: 1024 } as const;

/** `phdc explain FILE`: caches, rows and work of a model, with the part of its relation that decides each. */
export async function explainModel(terminal: Terminal, path: string, options: ExplainOptions): Promise<number> {
  const { n: length, ...set } = options.set;
  const compilation = compileSource(await readSource(terminal, path), {
    ...targetFor(options.dtype),
    set,
    ...quantisationOf(options),
  });
  const program = programOf(terminal, compilation, options.json === true);
  const n = promptLength(length, program.manifest.model.copies, options.mask);
  const explanation = explain(program, n);
  const drawn = options.mask === true ? { masks: maskPictures(program, n).map(printMask) } : {};
  if (options.json) {
    terminal.out(`${JSON.stringify({ ...explanation, ...drawn }, null, 2)}\n`);
  } else {
    terminal.out(render(explanation, program));
    if (drawn.masks !== undefined) terminal.out(`\n${drawn.masks.join("\n\n")}\n`);
  }
  if (typeof options.mask === "string") {
    await writeFileAtomic(options.mask, drawMasks(explanation.model, maskPictures(program, n)));
  }
  return exitCodes.ok;
}

/** bf16 is a matter of CUDA; what is derived from a model depends on no target. */
function targetFor(dtype: string): Pick<CompileOptions, "target" | "dtype" | "capabilities"> {
  if (dtype === "bf16") return { target: "cuda", dtype };
  const half = dtype === "f16";
  return { target: "webgpu", dtype: half ? dtype : "f32", capabilities: { ...portableCapabilities, f16: half } };
}

function promptLength(length: string | undefined, copies: number, mask: ExplainOptions["mask"]): number {
  const most =
    mask === undefined
      ? Number.MAX_SAFE_INTEGER
      : Math.max(1, Math.floor((mask === true ? drawnTokens.text : drawnTokens.svg) / copies));
  if (length === undefined) {
    return mask === undefined ? usualLength : Math.max(1, Math.floor(drawnTokens.usual / copies));
  }
  const n = Number(length);
  if (Number.isInteger(n) && n >= 1 && n <= most) return n;
  const expected =
    mask === undefined ? "a whole number from 1" : `a whole number from 1 to ${most}, to be drawn with K = ${copies}`;
  throw new UsageError(usageDiagnostics.badValue({ option: "--set n", value: length, expected }));
}

function render(explanation: Explanation, { manifest }: Program): string {
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
    plan.retained === plan.read_later
      ? plan.retention
      : `${plan.retention}, ${formatCount(plan.retained - plan.read_later)} of them for nobody`,
  ]);
  const heading = ["layer", "group", "k/v rows", "query rows", "ffn rows", "kept", "bytes", "how long"];
  const reasons = new Set(runs.map(({ plan }) => `  ${plan.group}, ${plan.retention}: ${plan.reason}`));
  const allocated = evaluate(manifest.memory.caches, { ...manifest.constants, batch: 1, context: n });
  return [
    `${model}: K = ${copies}, a prompt of n = ${formatCount(n)} ${n === 1 ? "position" : "positions"}`,
    "",
    formatTable([heading, ...rows]),
    "",
    "Keys are kept because of",
    ...reasons,
    "",
    "Rows are computed where they are needed: of the last layer's queries, the one that predicts the next position; in every layer, the",
    "keys that a query computed there or a later step sees, and the rows below that these come from.",
    "",
    formatTable([
      ["", "this model", "K = 1", "ratio", "repetition", "paper's plan"],
      compared("keys and values kept", explanation.kv_bytes, formatBytes),
      compared("prefill, FLOP", explanation.prefill_flops, formatLarge),
      compared("prefill, bytes moved", explanation.prefill_bytes, formatBytes),
      compared("decode step, FLOP", explanation.decode_flops, formatLarge),
      compared("decode step, bytes read", explanation.decode_bytes, formatBytes),
    ]),
    "",
    "K = 1: every token once. Repetition: K copies, each sees all before it in stream order. Paper's plan: hidden tokens of the last",
    "position, the last chunk or the whole prompt, as far as keys are kept, and every row in all layers.",
    "",
    `Key stores for a context of ${formatCount(n)} positions take ${formatBytes(allocated)}; rings have room for a step's own keys, too.`,
    `As a formula: ${printExpr(manifest.memory.caches)} bytes`,
    "",
  ].join("\n");
}

function compared(what: string, figures: Compared, format: (value: number) => string): readonly string[] {
  const { value, single, repetition, paper } = figures;
  const ratio = single === 0 ? "" : `×${(value / single).toFixed(3)}`;
  return [what, format(value), format(single), ratio, format(repetition), format(paper)];
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
