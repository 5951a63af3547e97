// How long `phdc compile` takes as a whole process, and how much it writes, for the paper's 1.2B PHD-CSWA-3-16-32 with 4, 16 and 64
// layers. Run it after `npm run build`:
//
//     node bench/compile-time.mjs [--runs N] [--record]
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describeMachine, median, optionsOf, record, spread } from "./measure.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const model = "examples/olmo2-1.2b-phd-cswa-3-16-32.phd";
const { runs, recorded } = optionsOf(process.argv, { runs: 9 });

/** Milliseconds of one whole process: by the clock, and of processor time over all of its threads. */
function run(args) {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const child = spawn(process.execPath, ["--require", join(root, "bench/report-cpu.cjs"), "bin/phdc.js", ...args], {
      cwd: root,
      stdio: ["ignore", "ignore", "pipe", "pipe"],
    });
    let errors = "";
    let report = "";
    child.stderr.on("data", (chunk) => (errors += chunk));
    child.stdio[3].on("data", (chunk) => (report += chunk));
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve({ wall: performance.now() - started, cpu: Number(report) });
      else reject(new Error(`phdc ${args.join(" ")} failed with exit code ${code}\n${errors}`));
    });
  });
}

function bytesIn(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.reduce((total, file) => total + statSync(join(file.parentPath, file.name)).size, 0);
}

const scratch = mkdtempSync(join(tmpdir(), "phdc-bench-"));
const results = [];
try {
  const folder = join(scratch, "package");
  // Rounds over all depths, so that what else the machine does meets all of them alike.
  const depths = [4, 16, 64].map((layers) => ({ layers, times: [], bytes: 0, manifestBytes: 0 }));
  for (let round = 0; round < runs; round++) {
    for (const depth of depths) {
      depth.times.push(await run(["compile", model, "--set", `layers=${depth.layers}`, "-o", folder]));
      depth.bytes = bytesIn(folder);
      depth.manifestBytes = statSync(join(folder, "manifest.json")).size;
    }
  }
  const empty = [];
  for (let round = 0; round < runs; round++) empty.push(await run(["--version"]));
  for (const { layers, times, bytes, manifestBytes } of depths) {
    const wall = times.map((time) => time.wall);
    const cpu = times.map((time) => time.cpu);
    results.push({ layers, wallMs: spread(wall), cpuMs: spread(cpu), packageBytes: bytes, manifestBytes });
    const [line] = results.slice(-1);
    console.log(
      `${String(layers).padStart(3)} layers: wall ${line.wallMs.median} ms (${line.wallMs.least} … ${line.wallMs.most}), ` +
        `cpu ${line.cpuMs.median} ms (${line.cpuMs.least} … ${line.cpuMs.most}), ${bytes} bytes, manifest ${manifestBytes}`,
    );
  }
  const floor = median(empty.map(({ cpu }) => cpu));
  console.log(`of which cpu ${floor} ms to start (phdc --version)`);
  const result = { benchmark: "compile-time", model, runs, ...describeMachine(root), startCpuMs: floor, results };
  if (recorded) record(root, "compile-time", result);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
