import { usageDiagnostics } from "../../diagnostics/catalogue-usage.js";
import { bytesOf } from "../../runtime/dtype.js";
import { writeFileAtomic } from "../../runtime/node/atomic-write.js";
import { writeSafetensors } from "../../runtime/safetensors.js";
import { readSource } from "../files.js";
import { readIds } from "../ids.js";
import { type OpenedModel, openModel } from "../open-model.js";
import type { DeviceName, DtypeName, QuantizeOptions, Settings } from "../options.js";
import { exitCodes, UsageError } from "../report.js";
import type { Terminal } from "../terminal.js";

export interface LogitsOptions extends QuantizeOptions {
  readonly weights: string;
  readonly ids: string;
  readonly prefill: number;
  readonly output: string;
  readonly device: DeviceName;
  readonly dtype: DtypeName;
  readonly set: Settings;
  readonly tuned?: boolean;
  readonly json?: boolean;
}

/**
 * `phdc logits FILE`: prefills the first N ids, feeds the rest one by one, and writes the logits after each.
 *
 * The output holds `logits` f32 [n - N + 1, vocab] for positions N - 1 … n - 1, and those positions as `positions` i32.
 */
export async function logitsCommand(terminal: Terminal, path: string, options: LogitsOptions): Promise<number> {
  if (path === "-" && options.ids === "-") {
    throw new UsageError(usageDiagnostics.optionsConflict({ reason: "stdin is either the model or the ids" }));
  }
  const source = await readSource(terminal, path);
  const model = await openModel(terminal, source, options);
  try {
    const { vocab } = model.program.manifest.model;
    const ids = await readIds(terminal, options.ids, vocab);
    const { prefill } = options;
    if (prefill < 1 || prefill > ids.length) {
      throw new UsageError(usageDiagnostics.prefillRange({ prefill, count: ids.length }));
    }
    await model.load({ batch: 1, context: ids.length });
    const logits = await logitsOf(model, ids, prefill);
    const rows = ids.length - prefill + 1;
    const positions = Int32Array.from({ length: rows }, (_, row) => prefill - 1 + row);
    const file = writeSafetensors([
      { name: "logits", dtype: "F32", shape: [rows, vocab], bytes: bytesOf(logits) },
      { name: "positions", dtype: "I32", shape: [rows], bytes: bytesOf(positions) },
    ]);
    await writeFileAtomic(options.output, file);
    if (options.json) {
      const report = { output: options.output, positions: rows, vocab, device: model.device.name };
      terminal.out(`${JSON.stringify(report, null, 2)}\n`);
    }
  } finally {
    await model.close();
  }
  return exitCodes.ok;
}

/** Logits [n - N + 1, vocab] after a prompt of the first `prefill` of the ids, and after each of the others. The model is loaded. */
export async function logitsOf(model: OpenedModel, ids: readonly number[], prefill: number): Promise<Float32Array> {
  const { vocab } = model.program.manifest.model;
  const session = await model.openSession({ batch: 1, context: ids.length });
  try {
    const logits = new Float32Array((ids.length - prefill + 1) * vocab);
    const [first] = await session.prefill([ids.slice(0, prefill)]);
    logits.set(first!, 0);
    for (const [row, id] of ids.slice(prefill).entries()) {
      const [next] = await session.decode([id]);
      logits.set(next!, (row + 1) * vocab);
    }
    return logits;
  } finally {
    session.close();
  }
}
