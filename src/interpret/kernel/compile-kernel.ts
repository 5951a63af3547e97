/**
 * Turns a kernel into a JavaScript function that runs one workgroup in lockstep.
 *
 * Statements are cut into regions. A region without barriers or subgroup operations runs invocation after invocation, as plain
 * scalar code with plain control flow: nothing in it can tell the difference. Statements where invocations meet run once for the
 * whole workgroup, under a mask. Locals that live in one region are JavaScript locals; those that cross regions are arrays with
 * an entry per invocation.
 */
import { InternalError } from "../../diagnostics/diagnostic.js";
import type { Expression } from "../../ir/kernel/expressions.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import type { For, If, MatrixLoad, Mma, Statement, Subgroup, UniformLoad, While } from "../../ir/kernel/statements.js";
import { scalarOf, widthOf } from "../../ir/kernel/types.js";
import { declaredName, declaredType, eachStatement } from "../../ir/kernel/walk.js";
import { compileExpression, round } from "./lane-expressions.js";
import { arrayType, type CompileOptions, garbage, LaneCompiler } from "./lane-statements.js";
import { breaksOut, findCrossingNames, regionsOf } from "./regions.js";

/** JavaScript source of a function body that takes `rt` and returns `(wx, wy, wz) => void`. */
export function compileKernel(kernel: Kernel, options: CompileOptions): string {
  return new KernelCompiler(kernel, options).compile();
}

class KernelCompiler {
  private readonly lane: LaneCompiler;
  private readonly crossing: ReadonlySet<string>;
  private masks = 1;
  /** Names that regions share with what the workgroup does together. */
  private readonly shared: string[] = [];
  /** A function for each region, so that each is small enough to be optimised. */
  private readonly functions: string[] = [];

  constructor(
    private readonly kernel: Kernel,
    private readonly options: CompileOptions,
  ) {
    this.crossing = findCrossingNames(kernel.body);
    this.lane = new LaneCompiler(kernel, options, this.crossing);
  }

  compile(): string {
    const body = this.lane.capture(() => this.block(this.kernel.body, "m0"));
    const prologue = this.lane.capture(() => this.prologue());
    const epilogue = this.lane.capture(() => {
      this.line("return function (x, y, z) {");
      this.line("wx = x; wy = y; wz = z;");
      this.line("m0.fill(1);");
      for (const { name, type } of this.kernel.arrays) this.line(`b_${name}.fill(${garbage(scalarOf(type))});`);
    });
    return [...prologue, ...this.functions, ...epilogue, ...body, "};"].join("\n");
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
    this.lane.declareRegisters();
    eachStatement(kernel.body, (statement) => {
      const name = declaredName(statement);
      const type = declaredType(statement);
      if (name === undefined || type === undefined || !this.crossing.has(name)) return;
      this.line(`const s_${name} = new ${arrayType(scalarOf(type))}(N * ${widthOf(type)});`);
    });
    this.line(`let ${["wx", "wy", "wz", ...this.shared].join(", ")};`);
    for (let mask = 0; mask < this.masks; mask++) this.line(`const m${mask} = new Uint8Array(N);`);
  }

  // Regions.

  private line(text: string): void {
    this.lane.line(text);
  }

  private block(block: readonly Statement[], mask: string): void {
    for (const region of regionsOf(block)) {
      if (region.kind === "alone") {
        this.lanes(mask, () => {
          for (const statement of region.statements) this.lane.statement(statement);
        });
        // When all invocations have left a loop, what follows in its body is not reached at all.
        const [loop] = this.lane.breakMasks ?? [];
        if (loop !== undefined && region.statements.some(breaksOut)) this.line(`if (!rt.any(${loop})) break;`);
      } else this.together(region.statement, mask);
    }
  }

  /** Runs code once for each invocation of a mask; `t` is its number in the workgroup. */
  private lanes(mask: string, body: () => void): void {
    const name = this.lane.temporary();
    const lines = this.lane.capture(() => {
      this.line(`function ${name}() {`);
      this.line("lanes: for (let t = 0; t < N; t++) {");
      if (mask !== "m0") this.line(`if (${mask}[t] === 0) continue;`);
      body();
      this.line("} }");
    });
    this.functions.push(...lines);
    this.line(`${name}();`);
  }

  /** A variable that the functions of regions see too. */
  private share(): string {
    const name = this.lane.temporary();
    this.shared.push(name);
    return name;
  }

  // What the workgroup does together.

  private together(statement: Statement, mask: string): void {
    switch (statement.kind) {
      case "barrier":
        this.line(`rt.barrier(${mask}, "barrier", ${statement.buffers === true});`);
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
      this.line(`if (${this.lane.scalar(statement.condition)}) ${then}[t] = 1; else ${otherwise}[t] = 1;`);
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
    this.lane.breakMasks?.push(mask);
    body();
    this.lane.breakMasks?.pop();
  }

  /** Runs a loop body under a mask that `break` clears. */
  private loopBody(mask: string, body: () => void): void {
    const outer = this.lane.breakMasks;
    this.lane.breakMasks = [mask];
    body();
    this.lane.breakMasks = outer;
  }

  private jointFor(statement: For, mask: string): void {
    const active = this.newMask();
    const bounds = this.share();
    this.line(`${bounds} = rt.loopBounds("${statement.variable}");`);
    this.lanes(mask, () => {
      const [start, end, step] = [statement.start, statement.end, statement.step].map((bound) =>
        this.lane.scalar(bound),
      );
      this.line(`${bounds}.agree(${start}, ${end}, ${step});`);
    });
    this.line(`${active}.set(${mask});`);
    const counter = this.share();
    this.line(`for (${counter} = ${bounds}.start; ${counter} < ${bounds}.end; ${counter} += ${bounds}.step) {`);
    this.line(`if (!rt.any(${active})) break;`);
    this.lanes(active, () => this.lane.define(statement.variable, [counter], statement.type, true));
    this.loopBody(active, () => this.block(statement.body, active));
    this.line("}");
  }

  private jointWhile(statement: While, mask: string): void {
    const active = this.newMask();
    const turns = this.lane.temporary();
    this.line(`${active}.set(${mask});`);
    this.line(`for (let ${turns} = 0; ; ${turns}++) {`);
    this.lanes(active, () => this.line(`if (!${this.lane.scalar(statement.condition)}) ${active}[t] = 0;`));
    this.line(`if (!rt.any(${active})) break;`);
    this.line(`if (${turns} >= ${statement.limit}) fail("a loop went round more than ${statement.limit} times");`);
    this.loopBody(active, () => this.block(statement.body, active));
    this.line("}");
  }

  private uniformLoad(statement: UniformLoad, mask: string): void {
    const width = widthOf(statement.type);
    const index = this.share();
    this.line(`rt.barrier(${mask}, "uniform load of ${statement.array}");`);
    this.line(`${index} = rt.agreement("index of the uniform load of ${statement.array}");`);
    this.lanes(mask, () => this.line(`${index}.agree(${this.lane.scalar(statement.index)});`));
    this.line(`{ const t = 0;`);
    const place = { space: "workgroup" as const, name: statement.array, type: statement.type };
    const elements = this.lane.elementPlaces(place, `${index}.value`, "load");
    const values = elements.map((element) => this.lane.copy(element));
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
    const rows = this.share();
    this.line(`${rows} = new Float64Array(N);`);
    this.lanes(mask, () => {
      this.line(`if (t % S < ${8 * matrices}) {`);
      const [place] = this.lane.elementPlaces(
        { space: "workgroup", name: array, type: "vec4<u32>" },
        this.lane.scalar(statement.index),
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
    const given = this.share();
    this.line(`${given} = new Float64Array(N * ${width});`);
    this.lanes(mask, () => {
      compileExpression(expression, this.lane).forEach((value, i) => {
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
        const from = this.lane.temporary();
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
