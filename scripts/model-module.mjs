// The typed module of a package: `load`, and a class each for the model and its sessions.
//
// Everything a model does is in the manifest and the run time that the package carries; this module gives them the model's own names,
// sizes and documentation. It is the same for every model but for those, so it is built here, once, with `$name$`, `$vocabulary$` …
// in their places, and the compiler fills these in: it need not load a TypeScript compiler to write a package.
import { Project, VariableDeclarationKind } from "ts-morph";
import { transpile } from "./package-modules.mjs";

/** What differs between the targets: what a model is brought to. */
const targets = {
  webgpu: {
    imports: ["Device"],
    platform: ["openDevice", "type PlatformAdapter"],
    device: "Device | PlatformAdapter",
    doc: "an adapter of the platform, or a device that `openDevice` gave; several models may share one",
    opened: "device instanceof Device ? device : await openDevice(device)",
  },
  cuda: {
    imports: ["type CudaDevice"],
    platform: [],
    device: "CudaDevice",
    doc: "a device that `openDevice` gave; several models may share one",
    opened: "device",
  },
};

/** The module as TypeScript and as JavaScript; `src/backends/host/emit-model-module.ts` says what stands for what. */
export function modelModule(target) {
  const about = targets[target];
  const project = new Project({ useInMemoryFileSystem: true, skipLoadingLibFiles: true });
  const file = project.createSourceFile("model.ts");
  file.addImportDeclarations(importsFor(about));
  file.addExportDeclaration({
    namedExports: [
      "ContextFull",
      "DeviceLost",
      "MissingFeature",
      "NoAdapter",
      "OutOfMemory",
      "PhdcError",
      "TextStream",
    ],
    moduleSpecifier: "./runtime/index.js",
  });
  file.addExportDeclaration({ namedExports: ["openDevice"], moduleSpecifier: "./runtime/platform.js" });
  addConstants(file);
  addLoad(file, about);
  file.addClass(modelClass);
  file.addClass(sessionClass);
  file.formatText({ indentSize: 2 });
  const text = file.getFullText();
  return { "model.ts": text, "model.js": transpile(text) };
}

const importsFor = ({ imports, platform }) => [
  { moduleSpecifier: "./runtime/files.js", namedImports: ["readPackageFile", "readPackageText"] },
  {
    moduleSpecifier: "./runtime/index.js",
    namedImports: [
      ...imports,
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
  ...(platform.length > 0 ? [{ moduleSpecifier: "./runtime/platform.js", namedImports: platform }] : []),
  { moduleSpecifier: "./runtime/self-test.js", namedImports: ["runSelfTest", "type SelfTestResult"] },
  { moduleSpecifier: "./runtime/weights.js", namedImports: ["openWeights", "readManifest", "type WeightsInput"] },
];

function addConstants(file) {
  const constant = (name, initializer, doc) =>
    file.addVariableStatement({
      declarationKind: VariableDeclarationKind.Const,
      isExported: true,
      docs: [doc],
      declarations: [{ name, initializer }],
    });
  constant("modelName", `"$name$"`, "The model's name in its source.");
  constant("vocabulary", "$vocabulary$", "Token ids run from 0 to `vocabulary` - 1.");
  constant("layers", "$layers$", "Layers of the model.");
  constant("copies", "$copies$", "K: how often every token is computed.");
  constant("parameters", "$parameters$ as const", "All parameters of the model, by their names in the source.");
}

function addLoad(file, { device, doc, opened }) {
  file.addFunction({
    name: "load",
    isExported: true,
    isAsync: true,
    docs: [
      `Brings $name$ to a device: compiles its kernels and uploads its weights.

Throws before any weight is read when the device lacks a feature or a limit, when the weights do not fit the model, or when they
and the session announced in \`options.session\` exceed its memory.

@param device ${doc}
@param weights a \`.safetensors\` file (or its index) by address or path, its bytes, or \`"packed"\` for the package's own`,
    ],
    parameters: [
      { name: "device", type: device },
      { name: "weights", type: "WeightsInput" },
      { name: "options", type: "LoadOptions", initializer: "{}" },
    ],
    returnType: "Promise<$name$>",
    statements: [
      "const manifest = await readManifest();",
      "const checkpoint = await openWeights(weights, manifest);",
      "const files = { readText: readPackageText, readBytes: readPackageFile };",
      `const model = await loadModel(${opened}, { manifest, ...files, checkpoint }, options);`,
      "return new $name$(model);",
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
    parameters: [{ name: "device", type: device }],
    returnType: "Promise<SelfTestResult>",
    statements: [`return runSelfTest(${opened});`],
  });
}

const modelClass = {
  name: "$name$",
  isExported: true,
  docs: ["$name$ on a device. Any number of sessions may share its weights."],
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
      returnType: "Promise<$name$Session>",
      statements: ["return new $name$Session(await this.model.openSession(options));"],
    },
    {
      name: "close",
      docs: ["Frees the weights. Close the sessions first."],
      returnType: "void",
      statements: ["this.model.close();"],
    },
  ],
};

const sessionClass = {
  name: "$name$Session",
  isExported: true,
  docs: [`A batch of sequences being read and continued by $name$.`],
  properties: [{ name: "session", type: "Session", isReadonly: true, docs: ["The session as the run time sees it."] }],
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
        `Reads at least one more token of every sequence and gives the logits [$vocabulary$] of the last position of each. Sequences may differ in length.`,
      ],
      parameters: [{ name: "tokens", type: "readonly ArrayLike<number>[]" }],
      returnType: "Promise<Float32Array[]>",
      statements: ["return this.session.prefill(tokens);"],
    },
    {
      name: "decode",
      docs: [
        `Reads one more token of every sequence, $rows$ per sequence in one pass, and gives the logits [$vocabulary$] of each.`,
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
