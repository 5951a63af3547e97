/**
 * The typed module of a package, for one model: scripts/model-module.mjs builds it with ts-morph when the compiler is built, with
 * `$name$` where the name of a model belongs and so on; here these are filled in.
 */
import { InternalError } from "../../diagnostics/diagnostic.js";
import { cudaModelModule } from "../../generated/model-module-cuda.js";
import { webgpuModelModule } from "../../generated/model-module-webgpu.js";
import type { Manifest } from "../../runtime/manifest.js";

const modules = { webgpu: webgpuModelModule, cuda: cudaModelModule };

/** How a program comes by a device, in the opening of the module and in the README. */
export const openDeviceLines: Readonly<Record<Manifest["target"], readonly string[]>> = {
  webgpu: ["const device = (await navigator.gpu.requestAdapter())!;"],
  cuda: ["const device = openDevice();"],
};

/** The text of the module in one of its two languages. */
export function emitModelModule(manifest: Manifest, file: "model.ts" | "model.js" = "model.ts"): string {
  const values = placeholders(manifest);
  const body = modules[manifest.target][file]!.replaceAll(/\$(\w+)\$/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new InternalError(`the model's module has nothing called ${name}`);
    return value;
  });
  return `${opening(manifest)}\n${body}`;
}

function placeholders({ model }: Manifest): Readonly<Record<string, string>> {
  const { name, vocab, layers, copies, parameters } = model;
  return {
    name,
    vocabulary: String(vocab),
    layers: String(layers),
    copies: String(copies),
    parameters: JSON.stringify(parameters, null, 2),
    rows: copies === 1 ? "one row" : `${copies} rows, all copies of the token,`,
  };
}

function opening({ model, generator, target }: Manifest): string {
  const { name, copies, attends } = model;
  const repetition =
    copies === 1
      ? "Every token is computed once."
      : `Every token is computed K = ${copies} times; copy ${model.predictCopy} predicts the next one.`;
  const lines = [
    `${name}, compiled by ${generator} from ${model.source}.`,
    "",
    `${repetition} A query q sees a key k when`,
    ...attends.map((attend) => `    ${attend}`),
    "",
    ...openDeviceLines[target].map((line) => `    ${line}`),
    `    const model = await load(device, "model.safetensors");`,
    "    const session = await model.openSession({ context: 1024 });",
    "    for await (const { id } of session.generate([[1, 2, 3]], { maxTokens: 100 })) console.log(id);",
  ];
  return `/**\n${lines.map((line) => ` * ${line.replaceAll("*/", "* /")}`.trimEnd()).join("\n")}\n */`;
}
