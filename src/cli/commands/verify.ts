import { denseForward } from "../../interpret/graph/index.js";
import type { OpDifference } from "../../verify/compare-ops.js";
import { readCpuWeights } from "../cpu-weights.js";
import { readSource } from "../files.js";
import { formatTable } from "../format.js";
import { openModel } from "../open-model.js";
import type { DeviceName, DtypeName, QuantizeOptions, Settings } from "../options.js";
import { exitCodes } from "../report.js";
import type { Terminal } from "../terminal.js";
import { logitsOf } from "./logits.js";

export interface VerifyOptions extends QuantizeOptions {
  readonly weights: string;
  readonly device: DeviceName;
  readonly dtype: DtypeName;
  readonly tokens: number;
  readonly seed: number;
  readonly set: Settings;
  readonly tuned?: boolean;
  readonly json?: boolean;
}

interface Report {
  readonly device: string;
  readonly passed: boolean;
  readonly tolerance: number;
  /** Over all positions: a prompt of half the text, then step by step. */
  readonly logits: { readonly difference: number; readonly position: number };
  /** Empty on the CPU interpreter, which is what they are compared with. */
  readonly ops: readonly OpDifference[];
  readonly first?: OpDifference;
}

/**
 * `phdc verify FILE`: compares a device with the dense float64 forward pass, in the logits of a text of random tokens (prompt and steps),
 * and operation by operation.
 */
export async function verifyCommand(terminal: Terminal, path: string, options: VerifyOptions): Promise<number> {
  const source = await readSource(terminal, path);
  const model = await openModel(terminal, source, options);
  try {
    const { manifest, graph } = model.program;
    const ids = randomIds(options.tokens, manifest.model.vocab, options.seed);
    await model.load({ batch: 1, context: ids.length });
    const weights = await readCpuWeights(model.checkpoint, manifest);
    const expected = denseForward(graph, weights, ids);
    const prefill = Math.ceil(ids.length / 2);
    const logits = compare(await logitsOf(model, ids, prefill), expected, prefill - 1, manifest.model.vocab);

    const ops: OpDifference[] = [];
    if (model.gpu !== undefined) {
      const { compareOps } = await import("../../verify/compare-ops.js");
      for await (const op of compareOps(model.program, model.gpu(), weights, ids)) ops.push(op);
    }
    const { tolerance } = manifest;
    const first = ops.find((op) => !isRight(op, tolerance));
    const passed = logits.difference <= tolerance && first === undefined;
    const report: Report = { device: model.device.name, passed, tolerance, logits, ops, ...(first ? { first } : {}) };
    terminal.out(options.json ? `${JSON.stringify(report, null, 2)}\n` : render(report));
    return passed ? exitCodes.ok : exitCodes.wrongInput;
  } finally {
    await model.close();
  }
}

/** Differences are judged against the size of the values: a float carries so many digits, not so many places after the point. */
function isRight({ difference, magnitude }: OpDifference, tolerance: number): boolean {
  return difference <= tolerance * Math.max(1, magnitude);
}

function compare(found: Float32Array, expected: Float64Array, first: number, vocab: number) {
  let difference = 0;
  let position = first;
  for (const [index, value] of found.entries()) {
    const distance = Math.abs(value - expected[first * vocab + index]!);
    if (distance <= difference) continue;
    difference = distance;
    position = first + Math.floor(index / vocab);
    // A NaN is no number to go on from.
    if (Number.isNaN(distance)) return { difference: Number.POSITIVE_INFINITY, position };
  }
  return { difference, position };
}

function randomIds(count: number, vocab: number, seed: number): readonly number[] {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * vocab);
  });
}

function render(report: Report): string {
  const { device, passed, tolerance, logits, ops, first } = report;
  const lines = [
    `Compared ${device} with the dense float64 forward pass, tolerance ${tolerance}`,
    `logits differ by at most ${exponent(logits.difference)}, at position ${logits.position}`,
  ];
  if (ops.length > 0) {
    const rows = worstPerStep(ops).map((op) => [
      op.step,
      exponent(op.difference),
      exponent(op.magnitude),
      op.origin ?? "",
    ]);
    lines.push("", formatTable([["step", "difference", "largest value", "from"], ...rows]), "");
  }
  if (first !== undefined) {
    const where = first.layer === undefined ? "" : ` in layer ${first.layer}`;
    lines.push(
      `The first to differ is \`${first.value}\`${where} (${first.step}, ${first.origin ?? "no source"}): by ${exponent(first.difference)}`,
    );
  }
  lines.push(passed ? "They agree." : "They do not agree.");
  return `${lines.join("\n")}\n`;
}

/** Of the same step in all layers, the one that differs most. */
function worstPerStep(ops: readonly OpDifference[]): readonly OpDifference[] {
  const worst = new Map<string, OpDifference>();
  for (const op of ops) {
    const other = worst.get(op.step);
    if (other === undefined || op.difference > other.difference) worst.set(op.step, op);
  }
  return [...worst.values()];
}

function exponent(value: number): string {
  return value === 0 ? "0" : value.toExponential(1);
}
