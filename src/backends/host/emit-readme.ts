/** The README of a package: what it is, how to use it, and what other run times need to know first. */
import { printExpr } from "../../runtime/expr.js";
import type { Manifest, Step } from "../../runtime/manifest.js";
import { openDeviceLines } from "./emit-model-module.js";
import { parameterTable } from "./parameter-docs.js";

export function emitReadme(manifest: Manifest): string {
  const { model, generator, requires, memory, kernels, weights, target } = manifest;
  const packed = weights.some((weight) => weight.packed !== undefined);
  const features = requires.features.length === 0 ? "no optional features" : requires.features.join(", ");
  const limits = Object.entries(requires.limits).map(([name, value]) => `\`${name}\` ${value}`);
  return `# ${model.name}

Compiled by ${generator} from \`${model.source}\`: ${kernels.length} kernels, ${model.layers} layers, K = ${model.copies}.

\`\`\`ts
import { load${target === "cuda" ? ", openDevice" : ""}, selfTest } from "./model.js";

${openDeviceLines[target].join("\n")}
const model = await load(device, ${packed ? `"packed"` : `"model.safetensors"`});
const session = await model.openSession({ context: 1024 });
for await (const { id } of session.generate([promptIds], { maxTokens: 100 })) console.log(id);
\`\`\`

${platforms[target]}
\`selfTest(device)\` compares the device with logits that the compiler computed in float64, at reduced sizes.

## What a device needs

It needs ${features}${limits.length === 0 ? "" : `, and at least ${limits.join(", ")}`}. Bytes of device memory:

| | bytes |
|---|---|
| weights | ${code(printExpr(memory.weights))} |
| caches | ${code(printExpr(memory.caches))} |
| working buffers | ${code(printExpr(memory.working))} |

${symbolTable(manifest)}

## Kernels

What each is for, and the lines of source that ask for it:

${kernelTable(manifest)}

What they are given besides buffers:

${parameterTable(manifest)}

\`control\` holds what differs from phase to phase, in words of 32 bits. A sequence has its length after the phase, the first position of the phase, the
token sampled last, the number of tokens sampled, and for each group of keys the index of the key in slot 0. A row has its sequence,
position, copy (1 is the original) and token id. A query tile has its first row, how many rows it has, how far they are apart, and their sequence.

## Other run times

\`manifest.json\` says everything: kernels with their bindings and parameters, the steps of both phases with dispatch formulas, row rules, key
stores, and how weights are packed from tensors. \`runtime/session.ts\` executes it and is meant to be read.
${target === "cuda" ? cudaInterface(manifest) : ""}`;
}

const platforms: Readonly<Record<Manifest["target"], string>> = {
  webgpu: `Works wherever WebGPU does: a page (serve this folder), Node with a WebGPU package, Deno. \`model.ts\` type-checks under \`--strict\`
on its own.`,
  cuda: `Runs in Node on Linux and Windows, with NVIDIA's driver and the package koffi (\`npm install\` in this folder), which calls it.
\`model.ts\` type-checks under \`--strict\` beside koffi.`,
};

/** How kernels are called from anything that speaks CUDA. */
function cudaInterface({ modules, kernels }: Manifest): string {
  const { fatbin, ptx } = modules ?? {};
  const ready =
    fatbin === undefined || ptx === undefined
      ? "The package was compiled without nvcc, so it holds no machine code."
      : `\`${fatbin.file}\` holds all kernels for ${fatbin.architectures.join(" and ")}. \`${ptx.file}\` is PTX ${ptx.version} for
${ptx.architecture}, for devices that the other has no code for.`;
  const weightLayouts = kernels.some(({ features }) => features.includes("matrix"))
    ? `
Weights whose \`layout\` is \`fragments\` are stored in the order in which matrix units take them: padded with zeros to tiles of 16 × 16,
tile after tile along a row of tiles; in a tile, lane l of a warp finds its eight halves at byte 16 · l.
`
    : "";
  return `
A kernel is an \`extern "C"\` function named as \`entryPoint\` says. Its arguments are a pointer per binding, in the order of \`bindings\`, and
then, if it has \`parameters\`, one struct by value with fields of four bytes at their \`offset\`. A block has \`workgroupSize\` threads, the grid
is a step's \`workgroups\`, and there is no dynamic shared memory.

${ready} The \`.cu\` files compile with NVRTC or nvcc, as C++17, with the toolkit's headers on the include path.
${weightLayouts}`;
}

function symbolTable({ symbols }: Manifest): string {
  const rows = symbols.map(
    ({ name, doc, min, max }) => `| \`${name}\` | ${doc} | ${max === undefined ? `from ${min}` : `${min} … ${max}`} |`,
  );
  return ["| symbol | meaning | range |", "|---|---|---|", ...rows].join("\n");
}

/** Kernels are shared by steps, so a kernel may have several purposes and come from several lines. */
function kernelTable(manifest: Manifest): string {
  const { kernels, phases, sampling } = manifest;
  const steps = [phases.prefill, phases.decode].flatMap(({ before, layer, after }) => [before, ...layer, after]).flat();
  const users = new Map<string, Step[]>();
  for (const step of [...steps, ...sampling]) {
    for (const { kernel } of step.choices) users.set(kernel, [...(users.get(kernel) ?? []), step]);
  }
  const distinct = (texts: readonly (string | undefined)[]) => [...new Set(texts.filter((text) => text !== undefined))];
  const rows = kernels.map(({ name, file }) => {
    const usedBy = users.get(name) ?? [];
    const purposes = distinct(usedBy.map((step) => step.name));
    const lines = distinct(usedBy.map(({ origin }) => origin)).map(code);
    return `| [\`${name}\`](${file}) | ${purposes.join(", ")} | ${lines.join(", ")} |`;
  });
  return ["| kernel | what for | from |", "|---|---|---|", ...rows].join("\n");
}

function code(text: string): string {
  return `\`${text.replaceAll("|", "\\|")}\``;
}
