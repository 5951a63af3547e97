/** What can be called at a place: the definitions of the model, of its file, and of the libraries that the file uses. */
import { nameDiagnostics } from "../../diagnostics/catalogue-names.js";
import { label } from "../../diagnostics/define.js";
import { DiagnosticCollector } from "../../diagnostics/diagnostic.js";
import { nearestName } from "../../diagnostics/suggest.js";
import { stdLibrary } from "../../generated/std-library.js";
import type { SourceFile } from "../../source/source-file.js";
import type { Definition, FileNode, Name } from "../ast/nodes.js";
import { parseFile } from "../syntax/parse.js";
import { builtinNames } from "./builtin-names.js";
import type { CheckState } from "./context.js";
import type { Scope } from "./scope.js";

/** A definition with the surroundings it is expanded in: what it can call, and what it sees besides its parameters. */
export interface FoundDefinition {
  readonly definition: Definition;
  readonly definitions: Definitions;
  readonly scope: Scope;
}

export class Definitions {
  private readonly own = new Map<string, Definition>();

  /**
   * `scope` is what the own definitions see besides their parameters; `outer` is asked after the own definitions, and the
   * libraries (with what they use) after that.
   */
  constructor(
    private readonly fileName: string,
    private readonly scope: Scope,
    private readonly libraries: readonly Definitions[],
    private readonly outer?: Definitions,
    private readonly elsewhere: (name: string) => string | undefined = () => undefined,
  ) {}

  add(definition: Definition, state: CheckState): void {
    const { name } = definition;
    const before = this.own.get(name.text);
    if (builtinNames.has(name.text)) {
      state.report(nameDiagnostics.builtinRedefined({ name: name.text }, label(name.span)));
    } else if (before !== undefined) {
      reportTwice(name, before.name, state);
    } else {
      this.own.set(name.text, definition);
    }
  }

  find(name: Name, state: CheckState): FoundDefinition | undefined {
    const near = this.findOwn(name.text) ?? this.outer?.find(name, state);
    if (near !== undefined) return near;
    const found = this.reachable().flatMap((library) => library.findOwn(name.text) ?? []);
    if (found.length > 1) {
      const [first, second] = found.map((each) => each.definitions.fileName);
      state.report(
        nameDiagnostics.ambiguousName({ name: name.text, first: first!, second: second! }, label(name.span)),
      );
    }
    return found[0];
  }

  private findOwn(name: string): FoundDefinition | undefined {
    const definition = this.own.get(name);
    return definition === undefined ? undefined : { definition, definitions: this, scope: this.scope };
  }

  /** The libraries used here, and those that they use, each once. */
  private reachable(into = new Set<Definitions>()): Definitions[] {
    for (const library of this.libraries) {
      if (into.has(library)) continue;
      into.add(library);
      library.reachable(into);
    }
    return [...into];
  }

  /** The library, as `use` names it, that would define a name if the file used it. */
  libraryThatDefines(name: string): string | undefined {
    return this.elsewhere(name) ?? this.outer?.libraryThatDefines(name);
  }

  *names(): Iterable<string> {
    yield* this.own.keys();
    if (this.outer !== undefined) yield* this.outer.names();
    for (const library of this.reachable()) yield* library.own.keys();
  }
}

export function reportTwice(name: Name, before: Name, state: CheckState): void {
  const labels = [label(name.span, "declared again"), label(before.span, "declared here")];
  state.report(nameDiagnostics.definedTwice({ name: name.text }, ...labels));
}

/** The library's texts: file name (`phd.phd`) to text. */
export type Library = Readonly<Record<string, string>>;

/** The definitions of a file and of all libraries it uses, directly or through others. */
export function loadDefinitions(file: FileNode, library: Library, global: Scope, state: CheckState): Definitions {
  const loaded = new Map<string, Definitions>();
  return load(file, [], { library, global, state, loaded });
}

interface Loading {
  readonly library: Library;
  readonly global: Scope;
  readonly state: CheckState;
  readonly loaded: Map<string, Definitions>;
}

function load(file: FileNode, path: readonly string[], loading: Loading): Definitions {
  const { state } = loading;
  const libraries: Definitions[] = [];
  for (const use of file.uses) {
    const key = `${use.path.replace(/^std\./, "")}.phd`;
    const text = use.path.startsWith("std.") && Object.hasOwn(loading.library, key) ? loading.library[key] : undefined;
    if (text === undefined) {
      const known = Object.keys(loading.library).map((name) => `std.${name.replace(/\.phd$/, "")}`);
      const nearest = nearestName(use.path, known);
      const report = { path: use.path, nearest, known: known.map((name) => `\`${name}\``).join(", ") };
      state.report(nameDiagnostics.unknownLibrary(report, label(use.span)));
    } else if (path.includes(key)) {
      state.report(nameDiagnostics.recursion({ name: use.path, path: "" }, label(use.span)));
    } else {
      const definitions = loading.loaded.get(key) ?? loadLibrary(key, text, [...path, key], loading);
      if (!libraries.includes(definitions)) libraries.push(definitions);
    }
  }
  const elsewhere = (name: string) => findInLibrary(name, loading.library);
  const definitions = new Definitions(file.file.name, loading.global, libraries, undefined, elsewhere);
  for (const definition of file.definitions) definitions.add(definition, state);
  return definitions;
}

function loadLibrary(key: string, text: string, path: readonly string[], loading: Loading): Definitions {
  const source = { name: `std/${key}`, text };
  const file = parseLibrary(source, loading.state);
  const definitions = file === undefined ? new Definitions(source.name, loading.global, []) : load(file, path, loading);
  loading.loaded.set(key, definitions);
  return definitions;
}

/** Trees of library files that parsed without a report, by their texts: the same few files are used by every check. */
const parsedLibraries = new Map<string, FileNode>();

function parseLibrary(source: SourceFile, state: CheckState): FileNode | undefined {
  const known = parsedLibraries.get(source.text);
  if (known !== undefined && known.file.name === source.name) return known;
  const collected = new DiagnosticCollector();
  const file = parseFile(source, collected);
  for (const diagnostic of collected.diagnostics) state.report(diagnostic);
  // Only what comes with phdc: texts from elsewhere would pile up.
  if (file !== undefined && Object.values(stdLibrary).includes(source.text)) parsedLibraries.set(source.text, file);
  return file;
}

/** Looks for a definition of `name` in the texts of the library, for the hint of an error; nothing is parsed. */
function findInLibrary(name: string, library: Library): string | undefined {
  const heads = ["fn", "rule", "index"].map((word) => `\n${word} ${name}(`);
  const found = Object.entries(library).find(([, text]) => heads.some((head) => `\n${text}`.includes(head)));
  return found === undefined ? undefined : `std.${found[0].replace(/\.phd$/, "")}`;
}
