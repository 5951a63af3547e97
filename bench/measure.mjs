// What benchmarks share: options, statistics, and the record of a run.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

export function optionsOf(argv, { runs }) {
  const { values } = parseArgs({
    args: argv.slice(2),
    options: { runs: { type: "string", default: String(runs) }, record: { type: "boolean", default: false } },
  });
  return { runs: Number(values.runs), recorded: values.record };
}

const tenths = (value) => Math.round(value * 10) / 10;

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return tenths(sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2);
}

/** Milliseconds, to a tenth. */
export function spread(values) {
  return { median: median(values), least: tenths(Math.min(...values)), most: tenths(Math.max(...values)) };
}

/** When, where and of what a figure was taken. A load above the number of processors makes wall times mean little. */
export function describeMachine(root) {
  const git = (...args) => execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim();
  return {
    date: new Date().toISOString(),
    commit: git("rev-parse", "--short=12", "HEAD"),
    node: process.version,
    cpu: cpus()[0].model,
    processors: cpus().length,
    load: tenths(loadavg()[0]),
  };
}

/** Writes bench/results/NAME.json; the history of the file is the history of the figure. */
export function record(root, name, result) {
  const folder = join(root, "bench/results");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(result, null, 2)}\n`);
}
