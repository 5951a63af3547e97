/** The README of a package: what it is, how to use it, and what other run times need to know first. */
import { printExpr } from "../../runtime/expr.js";
import type { Manifest, Step } from "../../runtime/manifest.js";

export function emitReadme(manifest: Manifest): string {
  const { model, generator, requires, memory, kernels, weights } = manifest;
  const packed = weights.some((weight) => weight.packed !== undefined);
  const features = requires.features.length === 0 ? "no optional features" : requires.features.join(", ");
  const limits = Object.entries(requires.limits).map(([name, value]) => `\`${name}\` ${value}`);
  return `# ${model.name}

Compiled by ${generator} from \`${model.source}\`: ${kernels.length} kernels, ${model.layers} layers, K = ${model.copies}.

\`\`\`ts
import { load, selfTest } from "./model.js";

const adapter = await navigator.gpu.requestAdapter();
const model = await load(adapter!, ${packed ? `"packed"` : `"model.safetensors"`});
const session = await model.openSession({ context: 1024 });
for await (const { id } of session.generate([promptIds], { maxTokens: 100 })) console.log(id);
\`\`\`

Works wherever WebGPU does: a page (serve this folder), Node with a WebGPU package, Deno. \`model.ts\` type-checks under \`--strict\` on its
own. \`selfTest(adapter!)\` compares the device with logits that the compiler computed in float64, at reduced sizes.

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

## Other run times

\`manifest.json\` says everything: kernels with their bindings and parameters, the steps of both phases with dispatch formulas, row rules, key
stores, and how weights are packed from tensors. \`runtime/session.ts\` executes it and is meant to be read.
`;
}

function symbolTable({ symbols }: Manifest): string {
  const rows = symbols.map(({ name, doc, min, max }) => `| \`${name}\` | ${doc} | ${min} … ${max ?? ""} |`);
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
