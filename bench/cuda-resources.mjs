// What nvcc makes of the kernels of the 550M model compiled for CUDA in bf16: registers of a thread, bytes that were spilled because there
// were too few of them, shared memory of a block, and how many blocks a processor holds at a time. Run it after `npm run build`, where
// nvcc is on the path or in /usr/local/cuda/bin:
//
//     node bench/cuda-resources.mjs [--record]
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cudaPreamble, preambleName } from "../dist/backends/cuda/preamble.js";
import { compileSource } from "../dist/compile.js";
import { describeMachine, optionsOf, record } from "./measure.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const { recorded } = optionsOf(process.argv, { runs: 1 });
const model = "olmo2-550m-phd-swa-2-16";
const architectures = ["sm_80", "sm_90a"];
/** Of one processor, in either architecture. */
const registerFile = 65536;
const mostThreads = 2048;
const sharedMemory = { sm_80: 164 * 1024, sm_90a: 228 * 1024 };
/** What the system takes of a block's shared memory. */
const sharedOverhead = 1024;

function findNvcc() {
  for (const candidate of ["nvcc", "/usr/local/cuda/bin/nvcc"]) {
    try {
      const about = execFileSync(candidate, ["--version"], { encoding: "utf8" });
      return { path: candidate, version: /release ([\d.]+)/.exec(about)?.[1] };
    } catch {
      // Not here; try the next place.
    }
  }
  throw new Error("there is no nvcc on this machine");
}

const nvcc = findNvcc();
const file = join(root, "examples", `${model}.phd`);
const { program } = compileSource(
  { name: `${model}.phd`, text: readFileSync(file, "utf8") },
  { target: "cuda", dtype: "bf16" },
);
const folder = mkdtempSync(join(tmpdir(), "phdc-resources-"));
writeFileSync(join(folder, preambleName), cudaPreamble());

/** Registers are given to warps in blocks of 256. */
const residentBlocks = (architecture, { threads, registers, sharedBytes }) => {
  const perWarp = Math.ceil((registers * 32) / 256) * 256;
  return Math.min(
    Math.floor(registerFile / (perWarp * (threads / 32))),
    Math.floor(mostThreads / threads),
    Math.floor(sharedMemory[architecture] / (sharedBytes + sharedOverhead)),
    32,
  );
};

/** What ptxas says of each kernel. All are compiled together, so that the headers are read once. */
function compile(kernels, architecture) {
  const source = join(folder, "kernels.cu");
  writeFileSync(source, kernels.map(({ text }) => text).join("\n"));
  const flags = ["-cubin", "-Xptxas=-v", `-arch=${architecture}`, "-std=c++17", "-Werror=all-warnings"];
  const command = '"$0" "$@" 2>&1';
  const log = execFileSync("/bin/sh", ["-c", command, nvcc.path, ...flags, "-o", `${source}.cubin`, source], {
    encoding: "utf8",
  });
  const threadsOf = new Map(kernels.map(({ info }) => [info.name, info.workgroupSize[0]]));
  return new Map(
    log
      .split("Compiling entry function '")
      .slice(1)
      .map((entry) => {
        const name = entry.slice(0, entry.indexOf("'"));
        const found = (pattern) => Number(pattern.exec(entry)?.[1] ?? 0);
        const resources = {
          threads: threadsOf.get(name),
          registers: found(/Used (\d+) registers/),
          spilledBytes: found(/(\d+) bytes spill stores/) + found(/(\d+) bytes spill loads/),
          sharedBytes: found(/(\d+) bytes smem/),
        };
        return [name, { ...resources, residentBlocks: residentBlocks(architecture, resources) }];
      }),
  );
}

try {
  const byArchitecture = architectures.map((name) => [name, compile(program.kernels, name)]);
  const results = program.kernels.map((kernel) => {
    const compiled = Object.fromEntries(byArchitecture.map(([name, found]) => [name, found.get(kernel.info.name)]));
    const { registers, spilledBytes, sharedBytes, residentBlocks: blocks } = compiled.sm_90a;
    console.log(
      `${kernel.info.name.padEnd(48)} ${String(registers).padStart(4)} registers, ${spilledBytes} bytes spilled, ` +
        `${sharedBytes} bytes shared, ${blocks} blocks a processor`,
    );
    return { kernel: kernel.info.name, ...compiled };
  });
  if (recorded) {
    const { date, commit, node } = describeMachine(root);
    record(root, "cuda-resources", {
      benchmark: "cuda-resources",
      model,
      dtype: "bf16",
      nvcc: nvcc.version,
      date,
      commit,
      node,
      results,
    });
  }
} finally {
  rmSync(folder, { recursive: true });
}
