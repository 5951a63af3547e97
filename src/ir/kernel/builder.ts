/**
 * Builds kernels. A guide for kernel authors:
 *
 * ```ts
 * /** Adds `bias` to every row of `x`. One invocation per element. *\/
 * export function addBias(origin?: string): Kernel {
 *   return buildKernel(
 *     "add_bias",
 *     { doc: "Adds bias to every row of x.", origin, dispatch: "ceil(rows * width / 64) workgroups", workgroupSize: 64 },
 *     (k) => {
 *       const x = k.readWrite("x", "f32", "activation"); // bindings are numbered in this order
 *       const bias = k.read("bias", "f32", "weight");
 *       const rows = k.param("rows"); //                    u32 unless said otherwise; the params come last
 *       const width = k.param("width");
 *
 *       const index = k.let("index", k.globalId);
 *       k.if(index.lt(rows.mul(width)), () => {
 *         x.set(index, x.at(index).add(bias.at(index.rem(width))));
 *       });
 *     },
 *   );
 * }
 * ```
 *
 * - **Values** (value.ts) are expressions: they are spelled out where they are used, each time. Give what you use twice a name
 *   with `k.let`. A `k.var` read in an expression means its value when the statement runs, so `k.let` a copy to keep an old one.
 * - **Literals** take the type of the other side: `index.add(1)`, `sum.mul(0.5)`. Alone they need one: `f32(0)`, `u32(1)`.
 *   Nothing is converted silently: `row.toI32()`, `score.toF32()`.
 * - **Compile-time choices** are TypeScript: `if (capabilities.subgroups) …`, and `for (let r = 0; r < rows; r++)` unrolls.
 *   `k.for(…, { unroll: true })` unrolls while printing; use it with `k.registers`, whose indices must then be constants.
 * - **Vectors**: `k.read("w", "vec4<f32>", "weight")` makes 16-byte loads; its index counts vec4s. `vectorOf("f32", width)`
 *   gives the type for a width that is a parameter. A scalar beside a vector fills it.
 * - **Out of bounds** is an error: guard with `k.if`, or store with `{ when: condition }`.
 * - **Barriers**, subgroup operations and uniform loads must be reached by the whole workgroup: loop bounds and conditions
 *   around them may come from params, workgroup ids and read-only buffers at such indices, never from `k.localId`, workgroup
 *   memory or a read_write buffer. A value that one invocation computed becomes uniform with `k.uniformLoad`.
 * - **Workgroup memory** is garbage at first. Put a `k.barrier()` between a store and another invocation's load, and also
 *   between a load and the next store over it.
 * - **Names** are yours; a clash gets `_1`. The interpreter (`src/interpret/kernel`) runs the result without a GPU.
 */
import { InternalError } from "../../diagnostics/diagnostic.js";
import type { Capability } from "./capabilities.js";
import { dropUnused } from "./drop-unused.js";
import type { BuiltinName, Expression, HalfFormat, Space } from "./expressions.js";
import type { Access, BufferDeclaration, BufferRole, Kernel, ParamDeclaration, WorkgroupArray } from "./kernel.js";
import * as make from "./make-expression.js";
import { inferRequirements } from "./requirements.js";
import type { Statement, Subgroup } from "./statements.js";
import { isInteger, scalarOf, type ValueType, vectorOf } from "./types.js";
import { lift, type Operand, Value } from "./value.js";
import { verifyKernel } from "./verify.js";

export type { ScalarType, ValueType } from "./types.js";
export { vectorOf } from "./types.js";
export * from "./value.js";

export interface KernelOptions {
  /** What one invocation (or workgroup) does. */
  readonly doc: string;
  /** `file:line` of the model. */
  readonly origin?: string;
  /** How many workgroups, in words. */
  readonly dispatch: string;
  readonly workgroupSize: number;
  /** Workgroups that a processor should hold at a time; see `Kernel`. */
  readonly resident?: number;
}

/** Runs `body` once to record a kernel. */
export function buildKernel(name: string, options: KernelOptions, body: (k: KernelBuilder) => void): Kernel {
  const builder = new KernelBuilder(options.workgroupSize);
  body(builder);
  return builder.finish(name, options);
}

/** Memory that is indexed: a buffer, a workgroup array or a register array. */
export class Memory {
  constructor(
    private readonly builder: KernelBuilder,
    readonly space: Space,
    readonly name: string,
    readonly type: ValueType,
  ) {}

  /** The element at an index; a load wherever it is used. */
  at(index: Operand): Value {
    return new Value(make.load(this.space, this.name, this.type, lift(index, "u32").expression));
  }

  /** Stores an element, where `when` holds if it is given. */
  set(index: Operand, value: Operand, options: { when?: Value } = {}): void {
    const stored = lift(value, this.type).expression;
    ensure(stored.type === this.type, `${this.name} holds ${this.type}, not ${stored.type}`);
    const place = lift(index, "u32").expression;
    make.checkIndex(place);
    const when = options.when && { when: options.when.expression };
    this.builder.emit({ kind: "store", space: this.space, name: this.name, index: place, value: stored, ...when });
  }
}

/** A variable. As a value it is what it holds when the statement around it runs. */
export class Variable extends Value {
  constructor(
    private readonly builder: KernelBuilder,
    readonly name: string,
    type: ValueType,
  ) {
    super(make.local(name, type));
  }

  set(value: Operand): void {
    const assigned = lift(value, this.type).expression;
    ensure(assigned.type === this.type, `${this.name} is ${this.type}, not ${assigned.type}`);
    this.builder.emit({ kind: "assign", name: this.name, value: assigned });
  }
}

export interface Grid {
  readonly x: Value;
  readonly y: Value;
  readonly z: Value;
}

export interface Range {
  /** 0 unless given. */
  readonly from?: Operand;
  /** Exclusive. */
  readonly to: Operand;
  /** 1 unless given; positive. */
  readonly step?: Operand;
  /** Write the body out once per iteration; needs constant bounds. */
  readonly unroll?: boolean;
}

export class KernelBuilder {
  private readonly buffers: BufferDeclaration[] = [];
  private readonly params: ParamDeclaration[] = [];
  private readonly arrays: WorkgroupArray[] = [];
  private readonly names = new Set<string>();
  /** The block that statements go to, innermost last. */
  private readonly blocks: Statement[][] = [[]];

  constructor(readonly workgroupSize: number) {}

  // Declarations.

  /** A buffer that this kernel only reads. */
  read(name: string, type: ValueType, role: BufferRole = "activation"): Memory {
    return this.buffer(name, type, "read", role);
  }

  /** Weights of which every element is loaded once; see `BufferDeclaration.once`. */
  readOnce(name: string, type: ValueType): Memory {
    return this.buffer(name, type, "read", "weight", true);
  }

  /** A buffer that this kernel writes, and may read. */
  readWrite(name: string, type: ValueType, role: BufferRole = "activation"): Memory {
    return this.buffer(name, type, "read_write", role);
  }

  /** A scalar given with the dispatch. */
  param(name: string, type: ParamDeclaration["type"] = "u32"): Value {
    const own = this.declare(name);
    this.params.push({ name: own, type, offset: 4 * this.params.length });
    return new Value(make.param(own, type));
  }

  /** Memory shared by the workgroup; `length` elements. */
  workgroupArray(name: string, type: ValueType, length: number): Memory {
    return this.array(name, type, length, false);
  }

  /** Counters shared by the workgroup, for `atomicAdd` and `atomicMax`. Load and store work too. */
  atomicArray(name: string, length: number): Memory {
    return this.array(name, "u32", length, true);
  }

  // Where an invocation stands.

  readonly workgroupId: Grid = this.grid("workgroup_id");
  readonly numWorkgroups: Grid = this.grid("num_workgroups");
  readonly localId = this.builtin("local_id");
  /** `workgroupId.x * workgroupSize + localId`. */
  readonly globalId = this.builtin("global_id");
  readonly subgroupLane = this.builtin("subgroup_lane");
  readonly subgroupSize = this.builtin("subgroup_size");

  // Statements.

  /** Names a value, which is computed here and once. */
  let(name: string, value: Value): Value {
    const own = this.declare(name);
    this.emit({ kind: "let", name: own, value: value.expression });
    return new Value(make.local(own, value.type));
  }

  var(name: string, value: Value): Variable {
    const own = this.declare(name);
    this.emit({ kind: "var", name: own, value: value.expression });
    return new Variable(this, own, value.type);
  }

  /** An array of this invocation, zero at first. */
  registers(name: string, type: ValueType, length: number): Memory {
    const own = this.declare(name);
    this.emit({ kind: "registers", name: own, type, length });
    return new Memory(this, "register", own, type);
  }

  if(condition: Value, then: () => void, otherwise: () => void = () => {}): void {
    ensure(condition.type === "bool", `if takes a bool, not ${condition.type}`);
    const statement = { condition: condition.expression, body: this.block(then), otherwise: this.block(otherwise) };
    this.emit({ kind: "if", ...statement });
  }

  /** Counts from `from` up to but not including `to`. */
  for(name: string, range: Range, body: (index: Value) => void): void {
    const { from = 0, to, step = 1, unroll = false } = range;
    const typed = [to, from, step].find((operand) => operand instanceof Value);
    const type = typed instanceof Value ? scalarOf(typed.type) : "u32";
    const [start, end, stride] = [from, to, step].map((operand) => lift(operand, type).expression) as [
      Expression,
      Expression,
      Expression,
    ];
    ensure(
      isInteger(type) && [start, end, stride].every((bound) => bound.type === type),
      `for ${name} from ${start.type} to ${end.type} by ${stride.type}`,
    );
    ensure(
      !unroll || [start, end, stride].every((bound) => bound.kind === "constant"),
      `unroll of ${name} needs constants`,
    );
    const variable = this.declare(name);
    const statements = this.block(() => body(new Value(make.local(variable, type))));
    this.emit({ kind: "for", variable, type, start, end, step: stride, unroll, body: statements });
  }

  /** Repeats while the condition holds, which must be fewer than `limit` times. */
  while(condition: Value, limit: number, body: () => void): void {
    ensure(condition.type === "bool", `while takes a bool, not ${condition.type}`);
    this.emit({ kind: "while", condition: condition.expression, limit, body: this.block(body) });
  }

  /** Leaves the innermost loop. */
  break(): void {
    this.emit({ kind: "break" });
  }

  /** Waits for the workgroup and makes its stores to workgroup memory visible to it, and with `buffers` those to device memory. */
  barrier(options: { buffers?: boolean } = {}): void {
    this.emit({ kind: "barrier", ...(options.buffers && { buffers: true }) });
  }

  /** Reads an element of workgroup memory as a value known to be uniform; a barrier before and after it. */
  uniformLoad(name: string, array: Memory, index: Operand): Value {
    ensure(array.space === "workgroup", `${array.name} is not workgroup memory`);
    const own = this.declare(name);
    const place = lift(index, "u32").expression;
    this.emit({ kind: "uniform-load", name: own, array: array.name, index: place, type: array.type });
    return new Value(make.local(own, array.type));
  }

  /** Adds to an element of an atomic array; the value before it if `result` names it. */
  atomicAdd(array: Memory, index: Operand, value: Operand, result?: string): Value | undefined {
    return this.atomic("add", array, index, value, result);
  }

  atomicMax(array: Memory, index: Operand, value: Operand, result?: string): Value | undefined {
    return this.atomic("max", array, index, value, result);
  }

  /** The sum over the subgroup, in every lane. */
  subgroupAdd = (name: string, value: Value): Value => this.subgroup(name, "add", value);
  subgroupMax = (name: string, value: Value): Value => this.subgroup(name, "max", value);
  subgroupMin = (name: string, value: Value): Value => this.subgroup(name, "min", value);
  /** The value of one lane, in every lane. */
  subgroupBroadcast = (name: string, value: Value, lane: number): Value =>
    this.subgroup(name, "broadcast", value, lane);
  /** The value of the lane whose number differs in the bits of `mask`. */
  subgroupShuffleXor = (name: string, value: Value, mask: number): Value =>
    this.subgroup(name, "shuffle-xor", value, mask);

  /** a × b + c over matrix fragments (`matrix`); the layouts are in fragments.ts. */
  mma(name: string, format: HalfFormat, a: Value, b: Value, c: Value): Value {
    const own = this.declare(name);
    this.emit({ kind: "mma", name: own, format, a: a.expression, b: b.expression, c: c.expression });
    return new Value(make.local(own, "vec4<f32>"));
  }

  /** Two or four 8 × 8 matrices of halves from workgroup memory (`matrix`); each lane gives the place of a row. */
  matrixLoad(
    name: string,
    array: Memory,
    index: Operand,
    matrices: 2 | 4,
    options: { transposed?: boolean } = {},
  ): Value {
    const own = this.declare(name);
    const { transposed = false } = options;
    const place = lift(index, "u32").expression;
    this.emit({ kind: "matrix-load", name: own, array: array.name, index: place, matrices, transposed });
    return new Value(make.local(own, vectorOf("u32", matrices)));
  }

  /** Starts to copy an element into workgroup memory (`async-copy`); zeros where `when` does not hold. */
  asyncCopy(array: Memory, index: Operand, buffer: Memory, from: Operand, options: { when?: Value } = {}): void {
    const places = { index: lift(index, "u32").expression, from: lift(from, "u32").expression };
    const when = options.when && { when: options.when.expression };
    this.emit({ kind: "async-copy", array: array.name, buffer: buffer.name, ...places, ...when });
  }

  /** Closes a group of copies. */
  asyncCommit(): void {
    this.emit({ kind: "async-commit" });
  }

  /** Waits until at most `pending` groups are under way; a barrier after it shows them to the workgroup. */
  asyncWait(pending: number): void {
    this.emit({ kind: "async-wait", pending });
  }

  /** Waits for the dispatch before this one (`dependent-launch`); only weights may be read earlier. */
  awaitPrevious(): void {
    this.emit({ kind: "await-previous" });
  }

  /** Asks for elements before they are loaded (`dependent-launch`); all of them are there. */
  prefetch(buffer: Memory, from: Operand, count: number): void {
    this.emit({ kind: "prefetch", buffer: buffer.name, from: lift(from, "u32").expression, count });
  }

  /** Lets the next dispatch begin when there is room (`dependent-launch`). */
  releaseNext(): void {
    this.emit({ kind: "release-next" });
  }

  /** A remark in the generated code: say why. */
  comment(text: string): void {
    this.emit({ kind: "comment", text });
  }

  /** Appends a statement to the current block; the methods above are the usual way. */
  emit(statement: Statement): void {
    this.blocks.at(-1)!.push(statement);
  }

  finish(name: string, options: KernelOptions): Kernel {
    const { doc, origin, dispatch, workgroupSize, resident } = options;
    const parts = {
      buffers: this.buffers,
      params: this.params,
      ...dropUnused({ arrays: this.arrays, body: this.blocks[0]! }),
    };
    const requires: readonly Capability[] = inferRequirements(parts);
    const about = {
      ...{ name, doc, dispatch, workgroupSize },
      ...(origin !== undefined && { origin }),
      ...(resident !== undefined && { resident }),
    };
    const kernel: Kernel = { ...about, ...parts, requires };
    verifyKernel(kernel);
    return kernel;
  }

  private buffer(name: string, type: ValueType, access: Access, role: BufferRole, once = false): Memory {
    const own = this.declare(name);
    this.buffers.push({ name: own, type, access, role, ...(once && { once }) });
    return new Memory(this, "buffer", own, type);
  }

  private array(name: string, type: ValueType, length: number, atomic: boolean): Memory {
    const own = this.declare(name);
    this.arrays.push({ name: own, type, length, atomic });
    return new Memory(this, "workgroup", own, type);
  }

  private atomic(op: "add" | "max", array: Memory, index: Operand, value: Operand, result?: string): Value | undefined {
    const declaration = this.arrays.find((candidate) => candidate.name === array.name);
    ensure(declaration?.atomic === true, `${array.name} is no atomic array`);
    const own = result === undefined ? undefined : this.declare(result);
    const operands = { index: lift(index, "u32").expression, value: lift(value, "u32").expression };
    this.emit({ kind: "atomic", op, name: array.name, ...operands, ...(own !== undefined && { result: own }) });
    return own === undefined ? undefined : new Value(make.local(own, "u32"));
  }

  private subgroup(name: string, op: Subgroup["op"], value: Value, operand?: number): Value {
    const own = this.declare(name);
    this.emit({ kind: "subgroup", name: own, op, value: value.expression, ...(operand !== undefined && { operand }) });
    return new Value(make.local(own, value.type));
  }

  private grid(name: "workgroup_id" | "num_workgroups"): Grid {
    return { x: this.builtin(`${name}.x`), y: this.builtin(`${name}.y`), z: this.builtin(`${name}.z`) };
  }

  private builtin(name: BuiltinName): Value {
    return new Value(make.builtin(name));
  }

  private block(body: () => void): Statement[] {
    this.blocks.push([]);
    body();
    return this.blocks.pop()!;
  }

  /** The author's name, or that with a number where it is taken; unique in the whole kernel. */
  private declare(name: string): string {
    ensure(/^[a-z][a-z0-9_]*$/.test(name), `"${name}" is not a name: lower case, digits and underscores`);
    let own = name;
    for (let count = 1; this.names.has(own); count++) own = `${name}_${count}`;
    this.names.add(own);
    return own;
  }
}

function ensure(condition: boolean, complaint: string): asserts condition {
  if (!condition) throw new InternalError(`kernel builder: ${complaint}`);
}
