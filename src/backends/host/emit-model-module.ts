/**
 * The typed module of a package: `load`, and a class each for the model and its sessions, named after the model.
 *
 * Everything a model does is in the manifest and the run time that the package carries; this module gives them the model's own names,
 * sizes and documentation.
 */
import {
  type ClassDeclarationStructure,
  type OptionalKind,
  Project,
  type SourceFile,
  VariableDeclarationKind,
} from "ts-morph";
import type { Manifest } from "../../runtime/manifest.js";

/** The text of `model.ts`. */
export function emitModelModule(manifest: Manifest): string {
  const project = new Project({ useInMemoryFileSystem: true, skipLoadingLibFiles: true });
  const file = project.createSourceFile("model.ts");
  const name = manifest.model.name;
  file.addImportDeclarations(imports);
  file.addExportDeclaration({
    namedExports: ["ContextFull", "DeviceLost", "MissingFeature", "OutOfMemory", "PhdcError", "TextStream"],
    moduleSpecifier: "./runtime/index.js",
  });
  file.addExportDeclaration({ namedExports: ["openDevice"], moduleSpecifier: "./runtime/platform.js" });
  addConstants(file, manifest);
  addLoad(file, name);
  file.addClass(modelClass(name));
  file.addClass(sessionClass(manifest));
  file.formatText({ indentSize: 2 });
  return `${opening(manifest)}\n${file.getFullText()}`;
}

const imports = [
  { moduleSpecifier: "./runtime/files.js", namedImports: ["readPackageText"] },
  {
    moduleSpecifier: "./runtime/index.js",
    namedImports: [
      "Device",
      "type GeneratedToken",
      "type GenerateOptions",
      "generate",
      "type LoadOptions",
      "loadModel",
      "type Model",
      "type OpenOptions",
      "type Session",
    ],
  },
  { moduleSpecifier: "./runtime/platform.js", namedImports: ["openDevice", "type PlatformAdapter"] },
  { moduleSpecifier: "./runtime/self-test.js", namedImports: ["runSelfTest", "type SelfTestResult"] },
  { moduleSpecifier: "./runtime/weights.js", namedImports: ["openWeights", "readManifest", "type WeightsInput"] },
];

function opening(manifest: Manifest): string {
  const { model, generator } = manifest;
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
    "    const adapter = await navigator.gpu.requestAdapter();",
    `    const model = await load(adapter!, "model.safetensors");`,
    "    const session = await model.openSession({ context: 1024 });",
    "    for await (const { id } of session.generate([[1, 2, 3]], { maxTokens: 100 })) console.log(id);",
  ];
  return `/**\n${lines.map((line) => ` * ${line.replaceAll("*/", "* /")}`.trimEnd()).join("\n")}\n */`;
}

function addConstants(file: SourceFile, { model }: Manifest): void {
  const constant = (name: string, initializer: string, doc: string) =>
    file.addVariableStatement({
      declarationKind: VariableDeclarationKind.Const,
      isExported: true,
      docs: [doc],
      declarations: [{ name, initializer }],
    });
  constant("modelName", JSON.stringify(model.name), "The model's name in its source.");
  constant("vocabulary", String(model.vocab), "Token ids run from 0 to `vocabulary` - 1.");
  constant("layers", String(model.layers), "Layers of the model.");
  constant("copies", String(model.copies), "K: how often every token is computed.");
  constant(
    "parameters",
    `${JSON.stringify(model.parameters, null, 2)} as const`,
    "All parameters of the model, by their names in the source.",
  );
}

function addLoad(file: SourceFile, name: string): void {
  file.addFunction({
    name: "load",
    isExported: true,
    isAsync: true,
    docs: [
      `Brings ${name} to a device: compiles its kernels and uploads its weights.

Throws before any weight is read when the device lacks a feature or a limit, when the weights do not fit the model, or when they
and the session announced in \`options.session\` exceed its memory.

@param device an adapter of the platform, or a device that \`openDevice\` gave; several models may share one
@param weights a \`.safetensors\` file (or its index) by address or path, its bytes, or \`"packed"\` for the package's own`,
    ],
    parameters: [
      { name: "device", type: "Device | PlatformAdapter" },
      { name: "weights", type: "WeightsInput" },
      { name: "options", type: "LoadOptions", initializer: "{}" },
    ],
    returnType: `Promise<${name}>`,
    statements: [
      "const manifest = await readManifest();",
      "const checkpoint = await openWeights(weights, manifest);",
      "const opened = device instanceof Device ? device : await openDevice(device);",
      "const model = await loadModel(opened, { manifest, readText: readPackageText, checkpoint }, options);",
      `return new ${name}(model);`,
    ],
  });
  file.addFunction({
    name: "selfTest",
    isExported: true,
    isAsync: true,
    docs: [
      `Runs the package's self-test on a device: the same model at reduced sizes, with weights from a seeded generator, against the logits
that the compiler's float64 interpreter computed. It reads none of the model's weights.`,
    ],
    parameters: [{ name: "device", type: "Device | PlatformAdapter" }],
    returnType: "Promise<SelfTestResult>",
    statements: ["return runSelfTest(device instanceof Device ? device : await openDevice(device));"],
  });
}

function modelClass(name: string): OptionalKind<ClassDeclarationStructure> {
  return {
    name,
    isExported: true,
    docs: [`${name} on a device. Any number of sessions may share its weights.`],
    properties: [{ name: "model", type: "Model", isReadonly: true, docs: ["The model as the run time sees it."] }],
    ctors: [{ parameters: [{ name: "model", type: "Model" }], statements: ["this.model = model;"] }],
    methods: [
      {
        name: "openSession",
        isAsync: true,
        docs: [
          "Allocates caches for a batch of sequences. `context` is the number of positions that each may grow to; the memory a session takes follows from it.",
        ],
        parameters: [{ name: "options", type: "OpenOptions" }],
        returnType: `Promise<${name}Session>`,
        statements: [`return new ${name}Session(await this.model.openSession(options));`],
      },
      {
        name: "close",
        docs: ["Frees the weights. Close the sessions first."],
        returnType: "void",
        statements: ["this.model.close();"],
      },
    ],
  };
}

function sessionClass(manifest: Manifest): OptionalKind<ClassDeclarationStructure> {
  const { name, copies, vocab } = manifest.model;
  const rows = copies === 1 ? "one row" : `${copies} rows, all copies of the token,`;
  return {
    name: `${name}Session`,
    isExported: true,
    docs: [`A batch of sequences being read and continued by ${name}.`],
    properties: [
      { name: "session", type: "Session", isReadonly: true, docs: ["The session as the run time sees it."] },
    ],
    ctors: [{ parameters: [{ name: "session", type: "Session" }], statements: ["this.session = session;"] }],
    getAccessors: [
      {
        name: "lengths",
        docs: ["Positions that each sequence has so far."],
        returnType: "readonly number[]",
        statements: ["return this.session.lengths;"],
      },
    ],
    methods: [
      {
        name: "prefill",
        docs: [
          `Reads at least one more token of every sequence and gives the logits [${vocab}] of the last position of each. Sequences may differ in length.`,
        ],
        parameters: [{ name: "tokens", type: "readonly ArrayLike<number>[]" }],
        returnType: "Promise<Float32Array[]>",
        statements: ["return this.session.prefill(tokens);"],
      },
      {
        name: "decode",
        docs: [
          `Reads one more token of every sequence, ${rows} per sequence in one pass, and gives the logits [${vocab}] of each.`,
        ],
        parameters: [{ name: "tokens", type: "readonly number[]" }],
        returnType: "Promise<Float32Array[]>",
        statements: ["return this.session.decode(tokens);"],
      },
      {
        name: "generate",
        docs: [
          "Reads one prompt per sequence and continues all of them, sampling on the device. Use it on a fresh session. Throws ContextFull when a sequence has no room for the next token.",
        ],
        parameters: [
          { name: "prompts", type: "readonly ArrayLike<number>[]" },
          { name: "options", type: "GenerateOptions", initializer: "{}" },
        ],
        returnType: "AsyncGenerator<GeneratedToken, void, undefined>",
        statements: ["return generate(this.session, prompts, options);"],
      },
      {
        name: "close",
        docs: ["Frees the caches."],
        returnType: "void",
        statements: ["this.session.close();"],
      },
    ],
  };
}
