/** Turns the statements that an invocation executes alone into JavaScript: plain scalar code, one lane at a time. */
import { InternalError, unreachable } from "../../diagnostics/diagnostic.js";
import type { Expression, Load, Space } from "../../ir/kernel/expressions.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import type { AsyncCopy, Statement, Store } from "../../ir/kernel/statements.js";
import { bytesOf, type ScalarType, scalarOf, type ValueType, widthOf } from "../../ir/kernel/types.js";
import { eachStatement } from "../../ir/kernel/walk.js";
import { compileExpression, type LaneCode } from "./lane-expressions.js";

export interface CompileOptions {
  readonly counting: boolean;
  readonly detectRaces: boolean;
}

/** An access to memory that is being generated. */
interface Place {
  readonly space: Space;
  readonly name: string;
  readonly type: ValueType;
}

/**
 * Code for the invocation whose number in the workgroup is `t`.
 *
 * Locals in `crossing` outlive the region they are declared in: they lie in arrays with an entry per invocation, `s_name`. Others
 * are JavaScript locals, one per component, `v_name_0`. Buffers and workgroup arrays are `b_name`, register arrays `a_name`.
 */
export class LaneCompiler implements LaneCode {
  private lines: string[] = [];
  private readonly registers = new Map<string, { readonly type: ValueType; readonly length: number }>();
  private temporaries = 0;
  /** Masks that a `break` clears: those of the loop that all invocations run together, and inside it, outermost first. */
  breakMasks: string[] | undefined;
  /** Depth of loops that an invocation runs alone. */
  private loops = 0;

  constructor(
    private readonly kernel: Kernel,
    private readonly options: CompileOptions,
    private readonly crossing: ReadonlySet<string>,
  ) {
    eachStatement(kernel.body, (statement) => {
      if (statement.kind === "registers") this.registers.set(statement.name, statement);
    });
  }

  /** The lines that `generate` adds, which go nowhere else. */
  capture(generate: () => void): readonly string[] {
    const outer = this.lines;
    this.lines = [];
    generate();
    const captured = this.lines;
    this.lines = outer;
    return captured;
  }

  /** Declarations of register arrays, for all invocations. */
  declareRegisters(): void {
    for (const [name, { type, length }] of this.registers) {
      this.line(`const a_${name} = new ${arrayType(scalarOf(type))}(N * ${length * widthOf(type)});`);
    }
  }

  line(text: string): void {
    this.lines.push(text);
  }

  temporary(): string {
    return `t${this.temporaries++}`;
  }

  readLocal(name: string, type: ValueType): readonly string[] {
    const places = this.localPlaces(name, type);
    return scalarOf(type) === "bool" && this.crossing.has(name) ? places.map((place) => `(${place} !== 0)`) : places;
  }

  readMemory(load: Load, index: string): readonly string[] {
    const places = this.elementPlaces(load, index, "load");
    return places.map((place) => this.copy(this.decode(load, place)));
  }

  statement(statement: Statement): void {
    switch (statement.kind) {
      case "let":
      case "var":
        this.assign(statement.name, statement.value, true);
        return;
      case "assign":
        this.assign(statement.name, statement.value, false);
        return;
      case "registers": {
        const size = statement.length * widthOf(statement.type);
        this.line(`a_${statement.name}.fill(0, t * ${size}, t * ${size} + ${size});`);
        return;
      }
      case "store":
        this.store(statement);
        return;
      case "atomic": {
        const index = this.scalar(statement.index);
        const value = this.scalar(statement.value);
        const place = this.elementPlaces(
          { space: "workgroup", name: statement.name, type: "u32" },
          index,
          "atomic",
        )[0]!;
        const before = this.copy(place);
        const after = statement.op === "add" ? `(${before} + ${value}) >>> 0` : `Math.max(${before}, ${value})`;
        this.line(`${place} = ${after};`);
        if (statement.result !== undefined) this.define(statement.result, [before], "u32", true);
        return;
      }
      case "if":
        this.line(`if (${this.scalar(statement.condition)}) {`);
        for (const inner of statement.body) this.statement(inner);
        this.line("} else {");
        for (const inner of statement.otherwise) this.statement(inner);
        this.line("}");
        return;
      case "for": {
        const [start, end, step] = [statement.start, statement.end, statement.step].map((bound) => this.scalar(bound));
        const counter = this.temporary();
        this.line(`for (let ${counter} = ${start}; ${counter} < ${end}; ${counter} += ${step}) {`);
        this.define(statement.variable, [counter], statement.type, true);
        this.loop(statement.body);
        return;
      }
      case "while": {
        const turns = this.temporary();
        this.line(`for (let ${turns} = 0; ; ${turns}++) {`);
        this.line(`if (!${this.scalar(statement.condition)}) break;`);
        this.line(`if (${turns} >= ${statement.limit}) fail("a loop went round more than ${statement.limit} times");`);
        this.loop(statement.body);
        return;
      }
      case "break":
        if (this.loops > 0) {
          this.line("break;");
          return;
        }
        for (const mask of this.breakMasks ?? []) this.line(`${mask}[t] = 0;`);
        this.line("continue lanes;");
        return;
      case "async-copy":
        this.asyncCopy(statement);
        return;
      case "async-commit":
        this.line("rt.copies.commit(t);");
        return;
      case "async-wait":
        this.line(`rt.copies.wait(t, ${statement.pending});`);
        return;
      // Dispatches run one after the other here.
      case "await-previous":
      case "release-next":
      case "prefetch":
      case "comment":
        return;
      case "barrier":
      case "uniform-load":
      case "subgroup":
      case "mma":
      case "matrix-load":
        throw new InternalError(`${statement.kind} in code of one invocation`);
      default:
        unreachable(statement);
    }
  }

  private loop(body: readonly Statement[]): void {
    this.loops++;
    for (const inner of body) this.statement(inner);
    this.loops--;
    this.line("}");
  }

  /** The only component of an expression. */
  scalar(expression: Expression): string {
    return compileExpression(expression, this)[0]!;
  }

  private assign(name: string, value: Expression, declares: boolean): void {
    this.define(name, compileExpression(value, this), value.type, declares);
  }

  /** Gives a local its value, one operand per component. */
  define(name: string, values: readonly string[], type: ValueType, declares: boolean): void {
    const keyword = declares && !this.crossing.has(name) ? "let " : "";
    // All components are read before any is written: `v = vec2(v.y, v.x)`.
    const read = values.length === 1 ? values : values.map((value) => this.copy(value));
    this.localPlaces(name, type).forEach((place, i) => {
      this.line(`${keyword}${place} = ${read[i]};`);
    });
  }

  /** Binds JavaScript to a name, so that it is evaluated here and once. */
  copy(value: string): string {
    const name = this.temporary();
    this.line(`const ${name} = ${value};`);
    return name;
  }

  private localPlaces(name: string, type: ValueType): readonly string[] {
    const width = widthOf(type);
    return Array.from({ length: width }, (_, i) =>
      this.crossing.has(name) ? `s_${name}[t * ${width} + ${i}]` : `v_${name}_${i}`,
    );
  }

  // Memory.

  private store(store: Store): void {
    if (store.when !== undefined) this.line(`if (${this.scalar(store.when)}) {`);
    else this.line("{");
    const index = this.scalar(store.index);
    const values = compileExpression(store.value, this);
    const place = { space: store.space, name: store.name, type: store.value.type };
    this.elementPlaces(place, index, "store").forEach((element, i) => {
      this.line(`${element} = ${this.encode(place, values[i]!)};`);
    });
    this.line("}");
  }

  /** Checks an index and counts the access; gives JavaScript for each component of the element. */
  elementPlaces(place: Place, index: string, access: "load" | "store" | "atomic"): readonly string[] {
    const { name, space, type } = place;
    const width = widthOf(type);
    const at = this.temporary();
    this.line(`const ${at} = ${index};`);
    if (space === "register") {
      const { length } = this.registers.get(name)!;
      this.line(`if (!(${at} >= 0 && ${at} < ${length})) rt.outOfBounds("${name}", ${at}, ${length}, wx, wy, wz, t);`);
      return Array.from({ length: width }, (_, i) => `a_${name}[(t * ${length} + ${at}) * ${width} + ${i}]`);
    }
    this.line(`if (!(${at} >= 0 && ${at} < n_${name})) rt.outOfBounds("${name}", ${at}, n_${name}, wx, wy, wz, t);`);
    this.observe(place, at, access);
    return Array.from({ length: width }, (_, i) =>
      width === 1 ? `b_${name}[${at}]` : `b_${name}[${at} * ${width} + ${i}]`,
    );
  }

  private observe({ name, space, type }: Place, at: string, access: "load" | "store" | "atomic"): void {
    const bytes = bytesOf(type);
    if (this.options.counting && space === "buffer") {
      const kind = access === "load" ? "load" : "store";
      this.line(`c_${name}.${kind}s++; c_${name}.${kind === "load" ? "loaded" : "stored"}Bytes += ${bytes};`);
      if (kind === "load") this.line(`c_${name}.loadsOfElement[${at}]++;`);
    }
    const readOnly =
      space === "buffer" && this.kernel.buffers.find((buffer) => buffer.name === name)?.access === "read";
    if (this.options.detectRaces && access !== "atomic" && !readOnly) {
      const invocation = space === "buffer" ? "((wz * ny + wy) * nx + wx) * N + t" : "t";
      this.line(`r_${name}.${access}(${at}, ${invocation});`);
    }
  }

  /** 16-bit floats lie in buffers as bits. */
  private decode({ space, type }: Place, place: string): string {
    const scalar = scalarOf(type);
    if (scalar === "bool") return `${place} !== 0`;
    if (space !== "buffer") return place;
    return scalar === "f16" ? `halves[${place}]` : scalar === "bf16" ? `bfloats[${place}]` : place;
  }

  private encode({ space, type }: Place, value: string): string {
    const scalar = scalarOf(type);
    if (space !== "buffer") return value;
    return scalar === "f16" ? `halfToBits(${value})` : scalar === "bf16" ? `bfloatToBits(${value})` : value;
  }

  /** The destination is garbage until the copy is waited for. */
  private asyncCopy(copy: AsyncCopy): void {
    const type = this.kernel.arrays.find(({ name }) => name === copy.array)!.type;
    const width = widthOf(type);
    const values = Array.from({ length: width }, () => this.temporary());
    this.line("{");
    this.line(`let ${values.map((value) => `${value} = 0`).join(", ")};`);
    if (copy.when !== undefined) this.line(`if (${this.scalar(copy.when)}) {`);
    const source = this.elementPlaces({ space: "buffer", name: copy.buffer, type }, this.scalar(copy.from), "load");
    source.forEach((place, i) => {
      this.line(`${values[i]} = ${this.decode({ space: "buffer", name: copy.buffer, type }, place)};`);
    });
    if (copy.when !== undefined) this.line("}");
    const index = this.copy(this.scalar(copy.index));
    const target = this.elementPlaces({ space: "workgroup", name: copy.array, type }, index, "store");
    for (const place of target) this.line(`${place} = ${garbage(scalarOf(type))};`);
    this.line(`rt.copies.start(t, () => { ${target.map((place, i) => `${place} = ${values[i]};`).join(" ")} });`);
    this.line("}");
  }
}

/** The typed array that holds values of a scalar type in the interpreter's own memory. */
export function arrayType(scalar: ScalarType): string {
  switch (scalar) {
    case "f32":
    case "f16":
    case "bf16":
      return "Float32Array";
    case "i32":
      return "Int32Array";
    case "u32":
      return "Uint32Array";
    case "bool":
      return "Uint8Array";
  }
}

/** What workgroup memory holds before it is written: values that show in any result. */
export function garbage(scalar: ScalarType): string {
  return scalar === "bool" ? "1" : scalar === "i32" || scalar === "u32" ? "0x6badf00d" : "NaN";
}
