// What Mesa's RADV makes of the kernels of the 550M model compiled for WebGPU: registers, spills, workgroup memory, waves on a SIMD, and
// the loads of the inner loops by width. No GPU is needed: the driver compiles for one that is not there. Run it after `npm run build`,
// on a machine with Mesa's Vulkan drivers and a C compiler:
//
//     node bench/vulkan-resources.mjs [--record]
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compileSource } from "../dist/compile.js";
import { portableCapabilities } from "../dist/ir/kernel/capabilities.js";
import { describeMachine, optionsOf, record } from "./measure.mjs";
import { readListing } from "./vulkan/read-listing.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const { recorded } = optionsOf(process.argv, { runs: 1 });
const model = "olmo2-550m-phd-swa-2-16";
const families = ["navi21", "gfx1100"];
const copies = [1, 3, 16];
const withHalves = { ...portableCapabilities, f16: true };
const dtypes = {
  f32: { dtype: "f32" },
  f16: { dtype: "f16", capabilities: withHalves },
  int4: { dtype: "f16", capabilities: withHalves, quantise: { bits: 4, group: 32 } },
};

/** Every kernel once, with the models that have it. */
function kernelsOf() {
  const text = readFileSync(join(root, "examples", `${model}.phd`), "utf8");
  const kernels = new Map();
  for (const [dtype, options] of Object.entries(dtypes)) {
    for (const K of copies) {
      const { program } = compileSource({ name: `${model}.phd`, text }, { target: "webgpu", set: { K }, ...options });
      for (const { info, text: code } of program.kernels) {
        const found = kernels.get(code) ?? { info, text: code, dtypes: new Set(), copies: new Set() };
        found.dtypes.add(dtype);
        found.copies.add(K);
        kernels.set(code, found);
      }
    }
  }
  return [...kernels.values()];
}

/** What the driver says of each kernel, for one family of GPUs. */
function compile(kernels, family, folder) {
  const list = join(folder, "kernels.json");
  const log = join(folder, `${family}.log`);
  writeFileSync(list, JSON.stringify(kernels.map(({ info, text }) => ({ entryPoint: info.entryPoint, text }))));
  spawnSync(process.execPath, [join(root, "bench/vulkan/compile-kernels.mjs"), list], {
    stdio: ["ignore", "inherit", openSync(log, "w")],
    env: {
      ...process.env,
      VK_ICD_FILENAMES: join(folder, "idle.json"),
      RADV_FORCE_FAMILY: family,
      RADV_DEBUG: "shaders,shaderstats,nocache",
    },
  });
  const text = readFileSync(log, "utf8");
  if (!text.includes("\n=== end\n")) throw new Error(`no pipelines for ${family}:\n${text.slice(-2000)}`);
  const parts = text.split(/^=== (?:kernel \d+|end)\n/m).slice(1, -1);
  return { adapter: /^adapter: (.*)$/m.exec(text)[1], resources: parts.map(readListing) };
}

const folder = mkdtempSync(join(tmpdir(), "phdc-resources-"));
try {
  const driver = join(folder, "libidle.so");
  execFileSync("cc", ["-shared", "-fPIC", "-O1", "-o", driver, join(root, "bench/vulkan/idle-driver.c"), "-ldl"]);
  const icd = { file_format_version: "1.0.0", ICD: { library_path: driver, api_version: "1.3.230" } };
  writeFileSync(join(folder, "idle.json"), JSON.stringify(icd));

  const kernels = kernelsOf();
  const compiled = families.map((family) => [family, compile(kernels, family, folder)]);
  const results = kernels.map(({ info, dtypes, copies }, index) => ({
    kernel: info.name,
    dtypes: [...dtypes],
    copies: [...copies],
    invocations: info.workgroupSize[0],
    ...Object.fromEntries(compiled.map(([family, { resources }]) => [family, resources[index]])),
  }));
  const widths = (loads) => Object.entries(loads).map(([bytes, count]) => `${count} × ${bytes} B`);
  const describe = ({ loads, inFlight }) => `${widths(loads).join(", ")}: ${inFlight} under way`;
  for (const { kernel, dtypes, copies, ...own } of results) {
    console.log(`${kernel} (${dtypes.join(", ")}; K = ${copies.join(", ")})`);
    for (const family of families) {
      const { vgprs, spilled, ldsBytes, wavesPerSimd, loops } = own[family];
      console.log(
        `  ${family.padEnd(8)} ${vgprs} registers, ${spilled} spilled, ${ldsBytes} bytes shared, ${wavesPerSimd} waves` +
          loops.map((loop) => `; ${describe(loop)}`).join(""),
      );
    }
  }
  if (recorded) {
    const { date, commit, node } = describeMachine(root);
    const adapters = Object.fromEntries(compiled.map(([family, { adapter }]) => [family, adapter]));
    record(root, "vulkan-resources", { benchmark: "vulkan-resources", model, adapters, date, commit, node, results });
  }
} finally {
  rmSync(folder, { recursive: true });
}
