/** What a run is made on and with. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, loadavg, platform, totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { MachineReport } from "../report.js";

/** `loadBefore` is the load when the run began. */
export function describeMachine(loadBefore: number): MachineReport {
  return {
    processor: cpus()[0]?.model.trim() ?? "unknown",
    processors: cpus().length,
    memoryBytes: totalmem(),
    platform: `${platform()} ${process.arch}`,
    javascript: `Node ${process.version}`,
    load: [loadBefore, currentLoad()],
  };
}

/** Processes that wanted to run, on average over the last minute. */
export function currentLoad(): number {
  return Math.round(loadavg()[0]! * 100) / 100;
}

/** The commit of the repository that this compiler is built in, with `+` behind it when something is changed; undefined outside one. */
export function currentCommit(): string | undefined {
  const cwd = fileURLToPath(new URL(".", import.meta.url));
  const git = (...args: string[]) =>
    execFileSync("git", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  try {
    // An installed compiler may lie inside another project's repository.
    const { name } = JSON.parse(readFileSync(join(git("rev-parse", "--show-toplevel"), "package.json"), "utf8"));
    if (name !== "phdc") return undefined;
    const changed = git("status", "--porcelain", "--untracked-files=no") !== "";
    return `${git("rev-parse", "--short=12", "HEAD")}${changed ? "+" : ""}`;
  } catch {
    return undefined;
  }
}
