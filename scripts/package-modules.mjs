// Turns the modules of the run time into modules of a package. Types of WebGPU come from the package's own `gpu-types.ts` instead of a
// library, and each module is there as JavaScript too.
import { Node, Project, SyntaxKind, ts } from "ts-morph";

const gpuTypes = "gpu-types.ts";

/** Part → file name → TypeScript text: the same for the package, and its JavaScript. */
export function packageModules(parts) {
  const declared = typesDeclaredIn(parts.webgpu[gpuTypes]);
  return Object.fromEntries(Object.entries(parts).map(([part, sources]) => [part, modulesOf(sources, declared)]));
}

function typesDeclaredIn(text) {
  const project = new Project({ useInMemoryFileSystem: true, skipLoadingLibFiles: true });
  const declared = new Set();
  for (const statement of project.createSourceFile(gpuTypes, text).getStatements()) {
    if (Node.isInterfaceDeclaration(statement) || Node.isTypeAliasDeclaration(statement))
      declared.add(statement.getName());
  }
  return declared;
}

function modulesOf(sources, declared) {
  const project = new Project({ useInMemoryFileSystem: true, skipLoadingLibFiles: true });
  const typescript = {};
  const javascript = {};
  for (const name of Object.keys(sources).sort()) {
    const text =
      name === gpuTypes ? sources[name] : importTypes(project.createSourceFile(name, sources[name]), declared);
    typescript[name] = text;
    javascript[name.replace(/\.ts$/, ".js")] = transpile(text);
  }
  return { typescript, javascript };
}

export function transpile(text) {
  return ts.transpileModule(text, {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true },
  }).outputText;
}

/** Adds an import of the WebGPU types that a module names. */
function importTypes(file, declared) {
  const used = new Set();
  for (const reference of file.getDescendantsOfKind(SyntaxKind.TypeReference)) {
    const name = reference.getTypeName().getText();
    if (!name.startsWith("GPU")) continue;
    if (!declared.has(name)) throw new Error(`${file.getBaseName()}: ${gpuTypes} does not declare ${name}`);
    used.add(name);
  }
  if (used.size === 0) return file.getFullText();
  const folder = file.getFilePath().split("/").length > 2 ? "../" : "./";
  const statement = `import type { ${[...used].sort().join(", ")} } from "${folder}gpu-types.js";`;
  const imports = file.getImportDeclarations();
  const text = file.getFullText();
  if (imports.length > 0) {
    const end = imports.at(-1).getEnd();
    return `${text.slice(0, end)}\n${statement}${text.slice(end)}`;
  }
  // After the comment that opens the module, where there is one.
  const opening = /^\s*\/\*\*[\s\S]*?\*\/\n/.exec(text)?.[0] ?? "";
  return `${opening}${statement}\n\n${text.slice(opening.length)}`;
}
