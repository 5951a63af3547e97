/**
 * Turns a kernel into a JavaScript function that runs one workgroup in lockstep.
 *
 * Statements are cut into regions. A region without barriers or subgroup operations runs invocation after invocation, as plain
 * scalar code with plain control flow: nothing in it can tell the difference. Statements where invocations meet run once for the
 * whole workgroup, under a mask. Locals that live in one region are JavaScript locals; those that cross regions are arrays with
 * an entry per invocation.
 */
import { InternalError, unreachable } from "../../diagnostics/diagnostic.js";
import type { Expression, Load, Space } from "../../ir/kernel/expressions.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import type {
  AsyncCopy,
  For,
  If,
  MatrixLoad,
  Mma,
  Statement,
  Store,
  Subgroup,
  UniformLoad,
  While,
} from "../../ir/kernel/statements.js";
import { bytesOf, type ScalarType, scalarOf, type ValueType, widthOf } from "../../ir/kernel/types.js";
import { declaredName, declaredType, eachStatement } from "../../ir/kernel/walk.js";
import { compileExpression, type LaneCode, round } from "./lane-expressions.js";
import { breaksOut, findCrossingNames, regionsOf } from "./regions.js";

export interface CompileOptions {
  readonly counting: boolean;
  readonly detectRaces: boolean;
}

/** JavaScript source of a function body that takes `rt` and returns `(wx, wy, wz) => void`. */
export function compileKernel(kernel: Kernel, options: CompileOptions): string {
  return new KernelCompiler(kernel, options).compile();
}

/** An access to memory that is being generated. */
interface Place {
  readonly space: Space;
  readonly name: string;
  readonly type: ValueType;
}

class KernelCompiler implements LaneCode {
  private readonly lines: string[] = [];
  private readonly crossing: ReadonlySet<string>;
  private readonly types = new Map<string, ValueType>();
  private readonly registers = new Map<string, { readonly type: ValueType; readonly length: number }>();
  private temporaries = 0;
  private masks = 1;
  /** Masks that a `break` in the current region clears: those of the loop that all invocations run together, and inside it. */
  private loopMasks: string[] | undefined;
  /** Depth of loops that an invocation runs alone, inside the current region. */
  private laneLoops = 0;

  constructor(
    private readonly kernel: Kernel,
    private readonly options: CompileOptions,
  ) {
    this.crossing = findCrossingNames(kernel.body);
    eachStatement(kernel.body, (statement) => {
      if (statement.kind === "registers") this.registers.set(statement.name, statement);
      const name = declaredName(statement);
      const type = declaredType(statement);
      if (name !== undefined && type !== undefined) this.types.set(name, type);
    });
  }

  compile(): string {
    this.block(this.kernel.body, "m0");
    const body = this.lines.splice(0);
    this.prologue();
    this.line("return function (wx, wy, wz) {");
    this.line("m0.fill(1);");
    for (const { name, type } of this.kernel.arrays) this.line(`b_${name}.fill(${garbage(scalarOf(type))});`);
    return [...this.lines, ...body, "};"].join("\n");
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

  /** Declarations that live as long as the kernel: memory, params, state per invocation. */
  private prologue(): void {
    const { kernel, options } = this;
    this.line('"use strict";');
    this.line("const { N, S, nx, ny, nz, fround, half, bfloat, halfToBits, bfloatToBits, halves, bfloats } = rt;");
    this.line("const { floatToI32, floatToU32, floatBits, floatOfBits, divisor, fail } = rt;");
    for (const { name } of kernel.params) this.line(`const p_${name} = rt.params.${name};`);
    for (const { name } of kernel.buffers) {
      this.line(`const b_${name} = rt.buffers.${name}.data, n_${name} = rt.buffers.${name}.elements;`);
      if (options.counting) this.line(`const c_${name} = rt.counts.${name};`);
      if (options.detectRaces) this.line(`const r_${name} = rt.races.${name};`);
    }
    for (const { name, type, length } of kernel.arrays) {
      this.line(
        `const b_${name} = new ${arrayType(scalarOf(type))}(${length * widthOf(type)}), n_${name} = ${length};`,
      );
      if (options.detectRaces) this.line(`const r_${name} = rt.races.${name};`);
    }
    for (const [name, { type, length }] of this.registers) {
      this.line(`const a_${name} = new ${arrayType(scalarOf(type))}(N * ${length * widthOf(type)});`);
    }
    for (const name of this.crossing) {
      const type = this.types.get(name);
      if (type !== undefined) this.line(`const s_${name} = new ${arrayType(scalarOf(type))}(N * ${widthOf(type)});`);
    }
    for (let mask = 0; mask < this.masks; mask++) this.line(`const m${mask} = new Uint8Array(N);`);
  }

  // Regions.

  private block(block: readonly Statement[], mask: string): void {
    for (const region of regionsOf(block)) {
      if (region.kind === "alone") {
        this.lanes(mask, () => {
          for (const statement of region.statements) this.laneStatement(statement);
        });
        // When all invocations have left a loop, what follows in its body is not reached at all.
        const [loop] = this.loopMasks ?? [];
        if (loop !== undefined && region.statements.some(breaksOut)) this.line(`if (!rt.any(${loop})) break;`);
      } else this.together(region.statement, mask);
    }
  }

  /** Runs code once for each invocation of a mask; `t` is its number in the workgroup. */
  private lanes(mask: string, body: () => void): void {
    this.line("lanes: for (let t = 0; t < N; t++) {");
    if (mask !== "m0") this.line(`if (${mask}[t] === 0) continue;`);
    body();
    this.line("}");
  }

  // What one invocation does alone.

  private laneStatement(statement: Statement): void {
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
        for (const inner of statement.body) this.laneStatement(inner);
        this.line("} else {");
        for (const inner of statement.otherwise) this.laneStatement(inner);
        this.line("}");
        return;
      case "for": {
        const [start, end, step] = [statement.start, statement.end, statement.step].map((bound) => this.scalar(bound));
        const counter = this.temporary();
        this.line(`for (let ${counter} = ${start}; ${counter} < ${end}; ${counter} += ${step}) {`);
        this.define(statement.variable, [counter], statement.type, true);
        this.laneLoop(statement.body);
        return;
      }
      case "while": {
        const round = this.temporary();
        this.line(`for (let ${round} = 0; ; ${round}++) {`);
        this.line(`if (!${this.scalar(statement.condition)}) break;`);
        this.line(`if (${round} >= ${statement.limit}) fail("a loop went round more than ${statement.limit} times");`);
        this.laneLoop(statement.body);
        return;
      }
      case "break":
        if (this.laneLoops > 0) {
          this.line("break;");
          return;
        }
        for (const mask of this.loopMasks ?? []) this.line(`${mask}[t] = 0;`);
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

  private laneLoop(body: readonly Statement[]): void {
    this.laneLoops++;
    for (const inner of body) this.laneStatement(inner);
    this.laneLoops--;
    this.line("}");
  }

  private scalar(expression: Expression): string {
    return compileExpression(expression, this)[0]!;
  }

  private assign(name: string, value: Expression, declares: boolean): void {
    this.define(name, compileExpression(value, this), value.type, declares);
  }

  private define(name: string, values: readonly string[], type: ValueType, declares: boolean): void {
    const keyword = declares && !this.crossing.has(name) ? "let " : "";
    // All components are read before any is written: `v = vec2(v.y, v.x)`.
    const read = values.length === 1 ? values : values.map((value) => this.copy(value));
    this.localPlaces(name, type).forEach((place, i) => {
      this.line(`${keyword}${place} = ${read[i]};`);
    });
  }

  private copy(value: string): string {
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
  private elementPlaces(place: Place, index: string, access: "load" | "store" | "atomic"): readonly string[] {
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

  // What the workgroup does together.

  private together(statement: Statement, mask: string): void {
    switch (statement.kind) {
      case "barrier":
        this.line(`rt.barrier(${mask}, "barrier");`);
        return;
      case "uniform-load":
        this.uniformLoad(statement, mask);
        return;
      case "subgroup":
        this.subgroup(statement, mask);
        return;
      case "mma":
        this.mma(statement, mask);
        return;
      case "matrix-load":
        this.matrixLoad(statement, mask);
        return;
      case "if":
        this.jointIf(statement, mask);
        return;
      case "for":
        this.jointFor(statement, mask);
        return;
      case "while":
        this.jointWhile(statement, mask);
        return;
      default:
        throw new InternalError(`${statement.kind} is not a statement where invocations meet`);
    }
  }

  private newMask(): string {
    return `m${this.masks++}`;
  }

  private jointIf(statement: If, mask: string): void {
    const then = this.newMask();
    const otherwise = this.newMask();
    this.line(`${then}.fill(0); ${otherwise}.fill(0);`);
    this.lanes(mask, () => {
      this.line(`if (${this.scalar(statement.condition)}) ${then}[t] = 1; else ${otherwise}[t] = 1;`);
    });
    for (const [branch, block] of [
      [then, statement.body],
      [otherwise, statement.otherwise],
    ] as const) {
      if (block.length === 0) continue;
      this.line(`if (rt.any(${branch})) {`);
      this.within(branch, () => this.block(block, branch));
      this.line("}");
    }
  }

  /** A `break` inside must also leave this mask. */
  private within(mask: string, body: () => void): void {
    this.loopMasks?.push(mask);
    body();
    this.loopMasks?.pop();
  }

  /** Runs a loop body under a mask that `break` clears. */
  private loopBody(mask: string, body: () => void): void {
    const outer = this.loopMasks;
    this.loopMasks = [mask];
    body();
    this.loopMasks = outer;
  }

  private jointFor(statement: For, mask: string): void {
    const active = this.newMask();
    const bounds = this.temporary();
    this.line(`const ${bounds} = rt.loopBounds("${statement.variable}");`);
    this.lanes(mask, () => {
      const [start, end, step] = [statement.start, statement.end, statement.step].map((bound) => this.scalar(bound));
      this.line(`${bounds}.agree(${start}, ${end}, ${step});`);
    });
    this.line(`${active}.set(${mask});`);
    const counter = this.temporary();
    this.line(`for (let ${counter} = ${bounds}.start; ${counter} < ${bounds}.end; ${counter} += ${bounds}.step) {`);
    this.line(`if (!rt.any(${active})) break;`);
    this.lanes(active, () => this.define(statement.variable, [counter], statement.type, true));
    this.loopBody(active, () => this.block(statement.body, active));
    this.line("}");
  }

  private jointWhile(statement: While, mask: string): void {
    const active = this.newMask();
    const round = this.temporary();
    this.line(`${active}.set(${mask});`);
    this.line(`for (let ${round} = 0; ; ${round}++) {`);
    this.lanes(active, () => this.line(`if (!${this.scalar(statement.condition)}) ${active}[t] = 0;`));
    this.line(`if (!rt.any(${active})) break;`);
    this.line(`if (${round} >= ${statement.limit}) fail("a loop went round more than ${statement.limit} times");`);
    this.loopBody(active, () => this.block(statement.body, active));
    this.line("}");
  }

  private uniformLoad(statement: UniformLoad, mask: string): void {
    const width = widthOf(statement.type);
    const index = this.temporary();
    this.line(`rt.barrier(${mask}, "uniform load of ${statement.array}");`);
    this.line(`const ${index} = rt.agreement("index of the uniform load of ${statement.array}");`);
    this.lanes(mask, () => this.line(`${index}.agree(${this.scalar(statement.index)});`));
    this.line(`{ const t = 0;`);
    const place = { space: "workgroup" as const, name: statement.array, type: statement.type };
    const elements = this.elementPlaces(place, `${index}.value`, "load");
    const values = elements.map((element) => this.copy(element));
    this.line(`for (let lane = 0; lane < N; lane++) {`);
    values.forEach((value, i) => {
      this.line(`s_${statement.name}[lane * ${width} + ${i}] = ${value};`);
    });
    this.line("} }");
    this.line(`rt.barrier(${mask}, "uniform load of ${statement.array}");`);
  }

  private mma(statement: Mma, mask: string): void {
    this.line(`rt.wholeSubgroups(${mask}, "mma into ${statement.name}");`);
    const [a, b, c] = [statement.a, statement.b, statement.c].map((operand) => this.gather(operand, mask));
    const table = statement.format === "f16" ? "halves" : "bfloats";
    this.line(`rt.mma(s_${statement.name}, ${a}, ${b}, ${c}, ${table});`);
  }

  private matrixLoad(statement: MatrixLoad, mask: string): void {
    const { name, array, matrices, transposed } = statement;
    this.line(`rt.wholeSubgroups(${mask}, "matrix load into ${name}");`);
    const rows = this.temporary();
    this.line(`const ${rows} = new Float64Array(N);`);
    this.lanes(mask, () => {
      this.line(`if (t % S < ${8 * matrices}) {`);
      const [place] = this.elementPlaces(
        { space: "workgroup", name: array, type: "vec4<u32>" },
        this.scalar(statement.index),
        "load",
      );
      // The place of component 0 is `b_array[index * 4 + 0]`; the runtime wants the index.
      this.line(`${rows}[t] = ${place!.slice(place!.indexOf("[") + 1, -1)};`);
      this.line("}");
    });
    this.line(`rt.matrixLoad(s_${name}, b_${array}, ${rows}, ${matrices}, ${transposed});`);
  }

  /** The values of all invocations in one array. */
  private gather(expression: Expression, mask: string): string {
    const width = widthOf(expression.type);
    const given = this.temporary();
    this.line(`const ${given} = new Float64Array(N * ${width});`);
    this.lanes(mask, () => {
      compileExpression(expression, this).forEach((value, i) => {
        this.line(`${given}[t * ${width} + ${i}] = ${value};`);
      });
    });
    return given;
  }

  private subgroup(statement: Subgroup, mask: string): void {
    const type = statement.value.type;
    const width = widthOf(type);
    this.line(`rt.wholeSubgroups(${mask}, "${statement.op} into ${statement.name}");`);
    const given = this.gather(statement.value, mask);
    if (statement.op === "broadcast" || statement.op === "shuffle-xor") {
      const { op, operand = 0 } = statement;
      const source = op === "broadcast" ? `t - t % S + ${operand}` : `t - t % S + ((t % S) ^ ${operand})`;
      this.lanes(mask, () => {
        const from = this.temporary();
        this.line(`const ${from} = rt.lane(${source}, t, "${op} into ${statement.name}");`);
        for (let i = 0; i < width; i++) {
          this.line(`s_${statement.name}[t * ${width} + ${i}] = ${given}[${from} * ${width} + ${i}];`);
        }
      });
      return;
    }
    // Pairs first, then pairs of pairs: the order of a butterfly, so that every lane has the same sum.
    const combined = statement.op === "add" ? round(scalarOf(type), "a + b") : `Math.${statement.op}(a, b)`;
    this.line(`rt.reduceSubgroups(${given}, ${width}, (a, b) => ${combined});`);
    this.lanes(mask, () => {
      for (let i = 0; i < width; i++) {
        this.line(`s_${statement.name}[t * ${width} + ${i}] = ${given}[t * ${width} + ${i}];`);
      }
    });
  }
}

/** The typed array that holds values of a scalar type in the interpreter's own memory. */
function arrayType(scalar: ScalarType): string {
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
function garbage(scalar: ScalarType): string {
  return scalar === "bool" ? "1" : scalar === "i32" || scalar === "u32" ? "0x6badf00d" : "NaN";
}
