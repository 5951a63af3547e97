import { usageDiagnostics } from "../../diagnostics/catalogue-usage.js";
import type { Tuning } from "../../kernels/tuning.js";
import { openDevice } from "../../runtime/webgpu/device.js";
import { candidates, type Effort } from "../../tune/measure.js";
import { searchTuning, type Trial, type TuningReport } from "../../tune/search.js";
import { tuningFile } from "../../tune/tuning-file.js";
import { chooseDevice } from "../device.js";
import { readSource } from "../files.js";
import { formatTable } from "../format.js";
import { compileForDevice } from "../open-model.js";
import { type DeviceName, type DtypeName, type QuantizeOptions, quantisationOf, type Settings } from "../options.js";
import { exitCodes, UsageError } from "../report.js";
import type { Terminal } from "../terminal.js";
import { storeTuning, tunedAdapter } from "../tuning-cache.js";

export interface TuneOptions extends Effort, QuantizeOptions {
  readonly device: DeviceName;
  readonly dtype: DtypeName;
  readonly set: Settings;
  readonly parameters: readonly (keyof Tuning)[];
  readonly json?: boolean;
}

/** `phdc tune FILE`: measures parameters of kernels on a device, and stores what was fastest for `--tuned`. */
export async function tuneCommand(terminal: Terminal, path: string, options: TuneOptions): Promise<number> {
  const source = await readSource(terminal, path);
  const quantisation = quantisationOf(options);
  const chosen = await chooseDevice(terminal, options.device, options.dtype);
  const adapter = tunedAdapter(chosen);
  if (chosen.kind === "cpu" || adapter === undefined) {
    throw new UsageError(
      usageDiagnostics.optionsConflict({ reason: `--device cpu has no kernels to tune; it is ${chosen.name}` }),
    );
  }
  const compile = (tuning: Tuning) =>
    compileForDevice(terminal, source, chosen, { set: options.set, ...quantisation, tuning }, true);
  const device = chosen.kind === "cuda" ? chosen.device : await openDevice(chosen.found.adapter);
  try {
    const report = await searchTuning(candidates(compile, device, options), options.parameters, (trial) => {
      if (!options.json) terminal.err(`${describeTrial(trial)}\n`);
    });
    if (!options.json) terminal.out(render(report, chosen.name));
    const file = await storeTuning(tuningFile(adapter, path, report));
    const summary = { device: chosen.name, file, ...report };
    terminal.out(options.json ? `${JSON.stringify(summary, null, 2)}\n` : `${file}; --tuned takes it.\n`);
    return exitCodes.ok;
  } finally {
    device.close();
  }
}

function describeTrial({ parameter, value, measured, ratio, taken }: Trial): string {
  const found = measured === undefined ? "changes nothing here" : `×${ratio.toFixed(3)}${taken ? ", taken" : ""}`;
  return `${parameter} = ${value}: ${found}`;
}

function render({ defaults, trials, tuning, ratio }: TuningReport, device: string): string {
  const rows = trials.flatMap(({ parameter, value, measured, ratio: own, taken }) =>
    measured === undefined
      ? []
      : [
          [
            parameter,
            String(value),
            ms(measured.prefillMs),
            ms(measured.decodeMs),
            own.toFixed(3),
            taken ? "taken" : "",
          ],
        ],
  );
  return [
    `Tuned on ${device}`,
    "",
    formatTable([
      ["parameter", "value", "prefill ms", "decode ms", "over defaults", ""],
      ["defaults", "", ms(defaults.prefillMs), ms(defaults.decodeMs), "1.000", ""],
      ...rows,
    ]),
    "",
    `Chosen: ${Object.entries(tuning)
      .map(([name, value]) => `${name} = ${value}`)
      .join(", ")}; ×${ratio.toFixed(3)} of the time with the defaults`,
    "",
  ].join("\n");
}

const ms = (value: number) => value.toFixed(2);
