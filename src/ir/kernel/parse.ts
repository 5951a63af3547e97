import { InternalError } from "../../diagnostics/diagnostic.js";
import {
  binaryOps,
  builtinNames,
  type Expression,
  type HalfFormat,
  halfFormats,
  type Space,
  unaryOps,
} from "./expressions.js";
import type { Access, BufferDeclaration, BufferRole, Kernel, ParamDeclaration, WorkgroupArray } from "./kernel.js";
import * as make from "./make-expression.js";
import { inferRequirements } from "./requirements.js";
import type { Statement, Subgroup } from "./statements.js";
import { TokenReader } from "./tokens.js";
import {
  isValueType,
  type ScalarType,
  scalarOf,
  scalarTypes,
  type ValueType,
  type VectorWidth,
  widthOf,
} from "./types.js";
import { verifyKernel } from "./verify.js";

/** Reads what `printKernel` writes and verifies the kernel. Throws `InternalError` with the line of what is wrong. */
export function parseKernel(text: string): Kernel {
  const kernel = new KernelParser(text).kernel();
  verifyKernel(kernel);
  return kernel;
}

/** Suffixes of constants. */
const constantTypes: ReadonlyMap<string, ScalarType> = new Map([
  ["f", "f32"],
  ["h", "f16"],
  ["i", "i32"],
  ["u", "u32"],
]);

class KernelParser {
  private readonly reader: TokenReader;
  private readonly buffers: BufferDeclaration[] = [];
  private readonly params: ParamDeclaration[] = [];
  private readonly arrays: WorkgroupArray[] = [];
  /** Types of locals and of the elements of register arrays. Names are unique in a kernel, so scopes do not matter here. */
  private readonly locals = new Map<string, ValueType>();

  constructor(text: string) {
    this.reader = new TokenReader(text);
  }

  kernel(): Kernel {
    const { reader } = this;
    reader.expect("kernel");
    const name = reader.word();
    reader.expect("workgroup");
    const workgroupSize = reader.integer();
    const resident = reader.takeIf("resident") ? { resident: reader.integer() } : {};
    reader.expect("{");
    reader.expect("doc");
    const doc = reader.string();
    const origin = reader.takeIf("origin") ? { origin: reader.string() } : {};
    reader.expect("dispatch");
    const dispatch = reader.string();
    while (this.declaration());
    const body = this.restOfBlock();
    if (!reader.atEnd) reader.fail(`${reader.peek()} after the kernel`);
    const parts = { buffers: this.buffers, params: this.params, arrays: this.arrays, body };
    return { name, doc, ...origin, dispatch, workgroupSize, ...resident, ...parts, requires: inferRequirements(parts) };
  }

  private declaration(): boolean {
    const { reader } = this;
    const keyword = reader.peek();
    if (!["buffer", "param", "array", "atomic"].includes(keyword)) return false;
    reader.take();
    const name = reader.word();
    reader.expect(":");
    const type = this.type();
    if (keyword === "buffer") {
      const access = this.oneOf<Access>(["read", "read_write"]);
      const role = this.oneOf<BufferRole>(["weight", "activation", "cache", "table", "state", "scratch"]);
      const once = reader.takeIf("once") ? { once: true } : {};
      this.buffers.push({ name, type, access, role, ...once });
    } else if (keyword === "param") {
      this.params.push({ name, type: type as ParamDeclaration["type"], offset: 4 * this.params.length });
    } else {
      this.arrays.push({ name, type, length: this.length(), atomic: keyword === "atomic" });
    }
    return true;
  }

  /** Statements up to the closing brace; the opening one has been read. */
  private restOfBlock(): Statement[] {
    const statements: Statement[] = [];
    while (!this.reader.takeIf("}")) statements.push(this.statement());
    return statements;
  }

  private block(): Statement[] {
    this.reader.expect("{");
    return this.restOfBlock();
  }

  private statement(): Statement {
    const { reader } = this;
    const start = reader.peek();
    if (start.startsWith("%")) return this.assignment();
    if (this.isElement(start)) return this.store();
    reader.take();
    switch (start) {
      case "let":
      case "var": {
        const { name, type } = this.declared();
        reader.expect("=");
        const value = this.expression();
        if (value.type !== type) reader.fail(`${name} is ${type}, but its value is ${value.type}`);
        return { kind: start, name, value };
      }
      case "registers": {
        const { name, type } = this.declared();
        return { kind: "registers", name, type, length: this.length() };
      }
      case "atomic_add":
      case "atomic_max": {
        const { name, index } = this.element();
        reader.expect("by");
        const value = this.expression();
        const result = reader.takeIf("gives") ? { result: this.local("u32") } : {};
        return { kind: "atomic", op: start === "atomic_add" ? "add" : "max", name, index, value, ...result };
      }
      case "if": {
        const condition = this.expression();
        const body = this.block();
        return { kind: "if", condition, body, otherwise: reader.takeIf("else") ? this.block() : [] };
      }
      case "for": {
        const { name: variable, type } = this.declared();
        const bounds = ["from", "to", "step"].map((word) => {
          reader.expect(word);
          return this.expression();
        });
        const [start, end, step] = bounds as [Expression, Expression, Expression];
        const unroll = reader.takeIf("unroll");
        return { kind: "for", variable, type: type as ScalarType, start, end, step, unroll, body: this.block() };
      }
      case "while": {
        const condition = this.expression();
        reader.expect("limit");
        return { kind: "while", condition, limit: reader.integer(), body: this.block() };
      }
      case "break":
        return { kind: start };
      case "barrier":
        return { kind: start, ...(reader.takeIf("buffers") && { buffers: true }) };
      case "uniform_load": {
        const { name, type } = this.declared();
        reader.expect("=");
        const { name: array, index } = this.element();
        return { kind: "uniform-load", name, array, index, type };
      }
      case "subgroup": {
        const { name } = this.declared();
        reader.expect("=");
        const op = this.oneOf(["add", "max", "min", "broadcast", "shuffle_xor"]).replace("_", "-") as Subgroup["op"];
        const value = this.expression();
        const operand = reader.takeIf("lane") ? { operand: reader.integer() } : {};
        return { kind: "subgroup", name, op, value, ...operand };
      }
      case "mma": {
        const { name } = this.declared();
        reader.expect("=");
        const format = this.halfFormat(reader.word());
        const a = this.expression();
        reader.expect("by");
        const b = this.expression();
        reader.expect("plus");
        return { kind: "mma", name, format, a, b, c: this.expression() };
      }
      case "matrix_load": {
        const { name, type } = this.declared();
        reader.expect("=");
        const { name: array, index } = this.element();
        const transposed = reader.takeIf("transposed");
        return { kind: "matrix-load", name, array, index, matrices: widthOf(type) as 2 | 4, transposed };
      }
      case "async_copy": {
        const { name: array, index } = this.element();
        reader.expect("=");
        const { name: buffer, index: from } = this.element();
        const when = reader.takeIf("when") ? { when: this.expression() } : {};
        return { kind: "async-copy", array, index, buffer, from, ...when };
      }
      case "async_commit":
        return { kind: "async-commit" };
      case "await_previous":
        return { kind: "await-previous" };
      case "release_next":
        return { kind: "release-next" };
      case "prefetch": {
        const { name: buffer, index: from } = this.element();
        reader.expect("count");
        return { kind: "prefetch", buffer, from, count: reader.integer() };
      }
      case "async_wait":
        return { kind: "async-wait", pending: reader.integer() };
      case "remark":
        return { kind: "comment", text: reader.string() };
      default:
        return reader.fail(`${start} begins no statement`);
    }
  }

  /** `%sum = …` or `%parts[…] = …`. */
  private assignment(): Statement {
    const name = this.reader.marked("%");
    if (this.reader.peek() === "[") {
      const index = this.index();
      return this.finishStore("register", name, index);
    }
    this.reader.expect("=");
    return { kind: "assign", name, value: this.expression() };
  }

  private store(): Statement {
    const { space, name, index } = this.element();
    return this.finishStore(space, name, index);
  }

  private finishStore(space: Space, name: string, index: Expression): Statement {
    this.reader.expect("=");
    const value = this.expression();
    const when = this.reader.takeIf("when") ? { when: this.expression() } : {};
    return { kind: "store", space, name, index, value, ...when };
  }

  private expression(): Expression {
    let expression = this.operand();
    while (this.reader.takeIf(".")) {
      const component = "xyzw".indexOf(this.reader.match(/^[xyzw]$/, "a component"));
      expression = make.extract(expression, component);
    }
    return expression;
  }

  private operand(): Expression {
    const { reader } = this;
    const start = reader.peek();
    if (start === "true" || start === "false") {
      reader.take();
      return make.constant("bool", start === "true" ? 1 : 0);
    }
    if (/^-?[0-9]/.test(start)) return this.constant(reader.take());
    if (start.startsWith("$")) {
      const name = reader.marked("$");
      const type = this.params.find((param) => param.name === name)?.type;
      return type === undefined ? reader.fail(`there is no param ${name}`) : make.param(name, type);
    }
    if (start.startsWith("@")) return this.builtin();
    if (start.startsWith("%")) {
      const name = reader.marked("%");
      const type = this.locals.get(name) ?? reader.fail(`there is no local ${name}`);
      return reader.peek() === "[" ? make.load("register", name, type, this.index()) : make.local(name, type);
    }
    if (this.isElement(start)) {
      const { space, name, index } = this.element();
      return make.load(space, name, this.elementType(name), index);
    }
    return this.call(reader.take());
  }

  private constant(text: string): Expression {
    const type = constantTypes.get(text.at(-1)!);
    if (type === undefined) return this.reader.fail(`${text} does not say its type`);
    return make.constant(type, Number(text.slice(0, -1)));
  }

  private builtin(): Expression {
    const name = this.reader.marked("@");
    const axis = this.reader.takeIf(".") ? `.${this.reader.match(/^[xyz]$/, "an axis")}` : "";
    const full = `${name}${axis}`;
    return make.builtin(
      builtinNames.find((known) => known === full) ?? this.reader.fail(`there is no built-in value ${full}`),
    );
  }

  private call(name: string): Expression {
    const { reader } = this;
    reader.expect("(");
    const parts: Expression[] = [];
    do parts.push(this.expression());
    while (reader.takeIf(","));
    reader.expect(")");
    const [a, b, c] = parts as [Expression, Expression, Expression];
    const arity = (count: number) => {
      if (parts.length !== count) reader.fail(`${name} takes ${count} operands, not ${parts.length}`);
    };
    if (isValueType(name)) return make.vector(scalarOf(name), widthOf(name) as VectorWidth, parts);
    const word = name.replaceAll("_", "-");
    const unaryOp = unaryOps.find((op) => op === word);
    if (unaryOp !== undefined) {
      arity(1);
      return make.unary(unaryOp, a);
    }
    const binaryOp = binaryOps.find((op) => op === word);
    if (binaryOp !== undefined) {
      arity(2);
      return make.binary(binaryOp, a, b);
    }
    const [verb, noun] = name.split("_") as [string, string];
    arity({ clamp: 3, fma: 3, select: 3, dot: 2, add: 2 }[verb] ?? 1);
    switch (verb) {
      case "clamp":
        return make.clamp(a, b, c);
      case "fma":
        return make.fma(a, b, c);
      case "select":
        return make.select(a, b, c);
      case "dot":
        return make.dot(a, b);
      case "to":
        return make.convert(a, this.scalar(noun));
      case "as":
        return make.bitcast(a, this.scalar(noun));
      case "pack":
        return make.pack(this.halfFormat(noun), a);
      case "unpack":
        return make.unpack(this.halfFormat(noun), a);
      case "add":
        return make.addHalves(this.halfFormat(noun), a, b);
      default:
        return reader.fail(`there is no operator ${name}`);
    }
  }

  private isElement(name: string): boolean {
    return this.spaceOf(name) !== undefined;
  }

  private spaceOf(name: string): "buffer" | "workgroup" | undefined {
    if (this.buffers.some((buffer) => buffer.name === name)) return "buffer";
    return this.arrays.some((array) => array.name === name) ? "workgroup" : undefined;
  }

  private elementType(name: string): ValueType {
    const found = [...this.buffers, ...this.arrays].find((declaration) => declaration.name === name);
    if (found === undefined) throw new InternalError(`there is no memory named ${name}`);
    return found.type;
  }

  private element(): { readonly space: Space; readonly name: string; readonly index: Expression } {
    const name = this.reader.word();
    const space = this.spaceOf(name) ?? this.reader.fail(`there is no memory named ${name}`);
    return { space, name, index: this.index() };
  }

  private index(): Expression {
    this.reader.expect("[");
    const index = this.expression();
    this.reader.expect("]");
    return index;
  }

  private length(): number {
    this.reader.expect("[");
    const length = this.reader.integer();
    this.reader.expect("]");
    return length;
  }

  private declared(): { readonly name: string; readonly type: ValueType } {
    const name = this.reader.marked("%");
    this.reader.expect(":");
    const type = this.type();
    this.locals.set(name, type);
    return { name, type };
  }

  private local(type: ValueType): string {
    const name = this.reader.marked("%");
    this.locals.set(name, type);
    return name;
  }

  private type(): ValueType {
    const text = this.reader.take();
    return isValueType(text) ? text : this.reader.fail(`${text} is no type`);
  }

  private scalar(text: string): ScalarType {
    return scalarTypes.find((type) => type === text) ?? this.reader.fail(`${text} is no scalar type`);
  }

  private halfFormat(text: string): HalfFormat {
    return halfFormats.find((format) => format === text) ?? this.reader.fail(`${text} is no format of halves`);
  }

  private oneOf<Word extends string>(words: readonly Word[]): Word {
    const text = this.reader.word();
    return (
      words.find((word) => word === text) ?? this.reader.fail(`expected one of ${words.join(", ")}, found ${text}`)
    );
  }
}
