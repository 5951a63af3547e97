/**
 * Reads the text that `printGraph` writes. Values get their ids in the order of their definitions.
 */
import type { SourceFile, Span } from "../../source/source-file.js";
import type {
  Attend,
  AttendPart,
  Block,
  Dim,
  Graph,
  KeyGroup,
  LayerClass,
  Layers,
  Op,
  TensorType,
  Value,
  ValueId,
} from "./ops.js";
import { parseExprText } from "./text/expr-text.js";
import { type AnyOpSyntax, opSyntax, type ParseScope, rowClasses } from "./text/fields.js";
import { parsePredicateText } from "./text/predicate-text.js";
import { TextReader } from "./text/reader.js";

/** Throws GraphTextError where the text is not that of a graph. `files` resolve `loc`s by name; others point into an empty file. */
export function parseGraph(text: string, files: readonly SourceFile[] = []): Graph {
  return new GraphParser(new TextReader(text), files).parse();
}

class GraphParser implements ParseScope {
  private nextId = 0;
  private readonly values = new Map<string, ValueId>();
  private readonly tables = new Map<string, readonly number[]>();

  constructor(
    private readonly reader: TextReader,
    private readonly files: readonly SourceFile[],
  ) {}

  valueOf(name: string): ValueId {
    const id = this.values.get(name);
    if (id === undefined) throw this.reader.error(`${name} is not defined above`);
    return id;
  }

  frequenciesOf(table: string): readonly number[] {
    const frequencies = this.tables.get(table);
    if (frequencies === undefined) throw this.reader.error(`${table} is not defined above`);
    return frequencies;
  }

  parse(): Graph {
    const { reader } = this;
    reader.expect("graph");
    const name = reader.string();
    const origin = this.location();
    reader.expect("{");
    const parameters: Record<string, number> = {};
    if (reader.accept("parameters")) {
      reader.expect("{");
      for (const [key, value] of reader.list("}", () => this.parameter())) parameters[key] = value;
    }
    reader.expect("copies");
    const copies = reader.number();
    reader.expect("predict");
    const predictCopy = reader.number();
    const groups: KeyGroup[] = [];
    while (reader.accept("group")) groups.push(this.group());
    const attends: Attend[] = [];
    while (reader.accept("attend")) attends.push(this.attend(attends.length));
    while (reader.accept("frequencies")) {
      const table = reader.read("table");
      reader.expect("=");
      reader.expect("[");
      this.tables.set(
        table,
        reader.list("]", () => reader.number()),
      );
    }
    const body = this.block([]);
    reader.expect("}");
    reader.read("end");
    return {
      name,
      parameters,
      copies,
      predictCopy,
      attends,
      ...(groups.length > 0 && { groups }),
      body,
      ...(origin && { origin }),
    };
  }

  private parameter(): [string, number] {
    const name = this.reader.string();
    this.reader.expect("=");
    return [name, this.reader.number()];
  }

  private group(): KeyGroup {
    const name = this.reader.string();
    this.reader.expect("=");
    this.reader.expect("copies");
    const firstCopy = this.reader.number();
    this.reader.expect("..");
    const lastCopy = this.reader.number();
    const firstPos = this.reader.accept("from") ? this.reader.number() : undefined;
    const endPos = this.reader.accept("before") ? this.reader.number() : undefined;
    return {
      ...{ name, firstCopy, lastCopy },
      ...(firstPos !== undefined && { firstPos }),
      ...(endPos !== undefined && { endPos }),
    };
  }

  private attend(index: number): Attend {
    if (this.reader.number() !== index) throw this.reader.error(`attends are numbered in order; this is ${index}`);
    this.reader.expect("=");
    const predicate = parsePredicateText(this.reader);
    const origin = this.location();
    const stated = this.reader.accept("stated") ? parsePredicateText(this.reader) : undefined;
    const parts: AttendPart[] = [];
    while (this.reader.accept("part")) {
      const group = this.reader.string();
      const density = this.reader.word<AttendPart["density"]>(["empty", "dense", "ranged"]);
      const lo = parseExprText(this.reader);
      this.reader.expect("..");
      parts.push({ group, density, lo, hi: parseExprText(this.reader) });
    }
    return { predicate, ...(stated && { stated }), ...(origin && { origin }), ...(parts.length > 0 && { parts }) };
  }

  private block(args: readonly Value[]): Block {
    const ops: Op[] = [];
    while (!this.reader.accept("yield")) ops.push(this.op());
    const yields = [this.valueOf(this.reader.read("value"))];
    while (this.reader.accept(",")) yields.push(this.valueOf(this.reader.read("value")));
    return { args, ops, yields };
  }

  private op(): Op {
    const { reader } = this;
    const names = [reader.read("value")];
    while (reader.accept(",")) names.push(reader.read("value"));
    reader.expect("=");
    const kind = reader.read("name");
    const fields = kind === "layers" ? this.layers() : this.plain(kind);
    reader.expect(":");
    const results = names.map((name, index) => {
      if (index > 0) reader.expect(",");
      return this.define(name, this.type());
    });
    const rows = reader.accept("on") ? reader.word(rowClasses) : undefined;
    const origin = this.location();
    return { kind, ...fields, results, ...(rows && { rows }), ...(origin && { origin }) } as unknown as Op;
  }

  /** Operands and attributes of an operation that holds no blocks. */
  private plain(kind: string): object {
    if (!Object.hasOwn(opSyntax, kind)) throw this.reader.error(`${kind} is no operation`);
    const syntax: AnyOpSyntax = opSyntax[kind as keyof typeof opSyntax];
    const operands = syntax.operands.map((field, index) => {
      if (index > 0) this.reader.expect(",");
      return [field, this.valueOf(this.reader.read("value"))] as const;
    });
    const attributes = this.reader.peek().text === "{" ? syntax.attributes.parse(this.reader, this) : {};
    return { ...Object.fromEntries(operands), ...attributes };
  }

  private layers(): Omit<Layers, "kind" | "results"> {
    const { reader } = this;
    const count = reader.number();
    reader.expect("(");
    const inputs = reader.list(")", () => this.valueOf(reader.read("value")));
    reader.expect("{");
    const classes: LayerClass[] = [];
    const classOf = Array.from({ length: count }, () => -1);
    while (reader.accept("class")) {
      const name = reader.string();
      reader.expect("[");
      for (const layer of reader.list("]", () => reader.number())) classOf[layer] = classes.length;
      reader.expect("(");
      const args = reader.list(")", () => {
        const arg = reader.read("value");
        reader.expect(":");
        return this.define(arg, this.type());
      });
      reader.expect("{");
      classes.push({ name, body: this.block(args) });
      reader.expect("}");
    }
    reader.expect("}");
    return { count, inputs, classes, classOf };
  }

  private define(name: string, type: TensorType): Value {
    const value = { id: this.nextId++, name: name.slice(1), type };
    if (this.values.has(name)) throw this.reader.error(`${name} is defined twice`);
    this.values.set(name, value.id);
    return value;
  }

  private type(): TensorType {
    const element = this.reader.word<TensorType["element"]>(["float", "int"]);
    this.reader.expect("[");
    const shape = this.reader.list("]", () =>
      this.reader.peek().kind === "name"
        ? this.reader.word<Dim & string>(["positions", "tokens"])
        : this.reader.number(),
    );
    return { element, shape };
  }

  private location(): Span | undefined {
    const { reader } = this;
    if (!reader.accept("loc")) return undefined;
    reader.expect("(");
    const name = reader.string();
    reader.expect(",");
    const start = reader.number();
    reader.expect(",");
    const end = reader.number();
    reader.expect(")");
    return { file: this.files.find((file) => file.name === name) ?? { name, text: "" }, start, end };
  }
}
