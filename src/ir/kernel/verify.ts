/** Says what a legal kernel is. `buildKernel` and the parser call it, and so should whatever rewrites a kernel. */
import { InternalError, unreachable } from "../../diagnostics/diagnostic.js";
import type { Capabilities } from "./capabilities.js";
import type { Expression, Load } from "./expressions.js";
import type { Kernel } from "./kernel.js";
import * as make from "./make-expression.js";
import { remake } from "./remake.js";
import { inferRequirements } from "./requirements.js";
import type { AsyncCopy, For, Statement } from "./statements.js";
import { bytesOf, isBool, isFloat, isInteger, type ValueType, vectorOf } from "./types.js";
import { inferUniformity } from "./uniformity.js";
import { declaredName, eachExpression, eachStatement, expressionsOf } from "./walk.js";

/** Throws an `InternalError` that lists what is wrong with a kernel. */
export function verifyKernel(kernel: Kernel): void {
  const problems = findProblems(kernel);
  if (problems.length > 0) throw new InternalError(`kernel ${kernel.name}:\n  ${problems.join("\n  ")}`);
}

/** Everything that is wrong with a kernel, one sentence each; empty when it is legal. */
export function findProblems(kernel: Kernel): readonly string[] {
  const verifier = new Verifier(kernel);
  verifier.declarations();
  verifier.block(kernel.body, { loop: "none" });
  // Uniformity is about names, so it waits until they are known to be right.
  if (verifier.problems.length === 0) verifier.uniformity();
  return verifier.problems;
}

/** What a kernel asks of a device that it does not have, in words; empty when it fits. */
export function findMisfits(kernel: Kernel, capabilities: Capabilities): readonly string[] {
  const { limits } = capabilities;
  const has = {
    subgroups: capabilities.subgroups !== undefined,
    f16: capabilities.f16,
    bf16: capabilities.bf16,
    matrix: capabilities.matrix,
    "async-copy": capabilities.asyncCopy,
    "dependent-launch": capabilities.dependentLaunch === true,
  };
  const memory = workgroupMemory(kernel);
  return [
    ...kernel.requires.filter((capability) => !has[capability]).map((capability) => `needs ${capability}`),
    ...exceeds("invocations in a workgroup", kernel.workgroupSize, limits.maxWorkgroupSize),
    ...exceeds("bytes of workgroup memory", memory, limits.maxWorkgroupMemory),
    ...exceeds("storage buffers", kernel.buffers.length, limits.maxStorageBuffers),
  ];
}

/** Bytes of workgroup memory, with each array aligned to 16 bytes. */
export function workgroupMemory(kernel: Kernel): number {
  return kernel.arrays.reduce((sum, { type, length }) => sum + Math.ceil((bytesOf(type) * length) / 16) * 16, 0);
}

function exceeds(what: string, value: number, limit: number): readonly string[] {
  return value > limit ? [`has ${value} ${what}, where ${limit} are allowed`] : [];
}

type Meaning =
  | { readonly kind: "let" | "var" | "loop variable"; readonly type: ValueType }
  | { readonly kind: "registers"; readonly type: ValueType; readonly length: number };

interface Place {
  /** What a `break` here would leave. */
  readonly loop: "none" | "loop" | "unrolled";
}

class Verifier {
  readonly problems: string[] = [];
  private readonly everDeclared = new Set<string>();
  /** What names mean here, by block. */
  private readonly scopes: Map<string, Meaning>[] = [];
  /** Nodes whose own typing has been checked: a value that is used twice is one node. */
  private readonly typed = new Set<Expression>();

  constructor(private readonly kernel: Kernel) {}

  declarations(): void {
    const { kernel } = this;
    this.expect(
      /^[a-z][a-z0-9_]*$/.test(kernel.name),
      () => `the name "${kernel.name}" is not lower case with underscores`,
    );
    const { workgroupSize } = kernel;
    this.expect(Number.isInteger(workgroupSize) && workgroupSize > 0, () => `a workgroup of ${workgroupSize}`);
    const { resident = 1 } = kernel;
    this.expect(Number.isInteger(resident) && resident > 0, () => `${resident} resident workgroups`);
    for (const { name, type } of kernel.buffers) {
      this.declareOnce(name);
      this.expect(!isBool(type), () => `buffer ${name} holds ${type}, which has no layout`);
    }
    kernel.params.forEach(({ name, type, offset }, i) => {
      this.declareOnce(name);
      this.expect(type === "u32" || type === "i32" || type === "f32", () => `param ${name} is ${type}`);
      this.expect(offset === 4 * i, () => `param ${name} lies at ${offset}, not at ${4 * i}`);
    });
    for (const { name, type, length, atomic } of kernel.arrays) {
      this.declareOnce(name);
      this.expect(Number.isInteger(length) && length > 0, () => `workgroup array ${name} of ${length}`);
      this.expect(!isBool(type), () => `workgroup array ${name} holds ${type}, which has no layout`);
      this.expect(!atomic || type === "u32", () => `atomic array ${name} holds ${type}, not u32`);
    }
    const used = inferRequirements(kernel).join(", ");
    const declared = kernel.requires.join(", ");
    this.expect(used === declared, () => `requires [${declared}], but uses [${used}]`);
  }

  uniformity(): void {
    const found = inferUniformity(this.kernel);
    for (const statement of found.unreached) {
      const what = statement.kind === "barrier" ? "a barrier" : `the ${statement.kind} of ${declaredName(statement)}`;
      this.problems.push(`${what} is in control flow that differs between invocations`);
    }
    eachStatement(this.kernel.body, (statement) => {
      if (statement.kind === "uniform-load") {
        this.expect(
          found.isUniform(statement.index),
          () => `the index of the uniform load of ${statement.name} is not uniform`,
        );
      }
    });
  }

  block(block: readonly Statement[], place: Place, declared: readonly [string, Meaning][] = []): void {
    this.scopes.push(new Map(declared));
    for (const statement of block) this.statement(statement, place);
    this.scopes.pop();
  }

  private statement(statement: Statement, place: Place): void {
    for (const expression of expressionsOf(statement)) this.expression(expression);
    switch (statement.kind) {
      case "let":
      case "var":
        this.declare(statement.name, { kind: statement.kind, type: statement.value.type });
        return;
      case "registers":
        this.expect(
          Number.isInteger(statement.length) && statement.length > 0,
          () => `registers ${statement.name} of ${statement.length}`,
        );
        this.declare(statement.name, { kind: "registers", type: statement.type, length: statement.length });
        return;
      case "assign": {
        const meaning = this.lookUp(statement.name);
        this.expect(meaning?.kind === "var", () => `${statement.name} is assigned, but is no variable here`);
        this.expectType(statement.value, meaning?.type, () => `an assignment to ${statement.name}`);
        return;
      }
      case "store":
        this.expectType(statement.value, this.elementType(statement), () => `a store to ${statement.name}`);
        this.expect(this.isWritable(statement), () => `${statement.name} is stored to, but is read only`);
        if (statement.when !== undefined) this.expectType(statement.when, "bool", () => `the condition of a store`);
        return;
      case "atomic":
        this.expect(this.isAtomic(statement.name), () => `${statement.name} is no atomic array`);
        this.expectType(statement.value, "u32", () => `an atomic update of ${statement.name}`);
        if (statement.result !== undefined) this.declare(statement.result, { kind: "let", type: "u32" });
        return;
      case "if":
        this.expectType(statement.condition, "bool", () => "a condition");
        this.block(statement.body, place);
        this.block(statement.otherwise, place);
        return;
      case "for":
        this.for(statement);
        return;
      case "while":
        this.expectType(statement.condition, "bool", () => "the condition of a loop");
        this.expect(
          Number.isInteger(statement.limit) && statement.limit > 0,
          () => `a loop limit of ${statement.limit}`,
        );
        this.block(statement.body, { loop: "loop" });
        return;
      case "break":
        this.expect(place.loop !== "none", () => "a break outside of loops");
        this.expect(place.loop !== "unrolled", () => "a break in an unrolled loop");
        return;
      case "uniform-load": {
        const array = this.kernel.arrays.find(({ name }) => name === statement.array);
        this.expect(array !== undefined, () => `uniform load of ${statement.array}, which is no workgroup array`);
        this.expect(array?.atomic !== true, () => `uniform load of ${statement.array}, which is atomic: copy it first`);
        this.expect(array?.type === statement.type, () => `uniform load of ${statement.array} as ${statement.type}`);
        this.declare(statement.name, { kind: "let", type: statement.type });
        return;
      }
      case "subgroup": {
        const { type } = statement.value;
        this.expect(isFloat(type) || isInteger(type), () => `subgroup ${statement.op} of ${type}`);
        const takesLane = statement.op === "broadcast" || statement.op === "shuffle-xor";
        this.expect(
          takesLane === (statement.operand !== undefined),
          () => `subgroup ${statement.op} and its lane do not match`,
        );
        this.declare(statement.name, { kind: "let", type });
        return;
      }
      case "mma":
        this.expectType(statement.a, "vec4<u32>", () => "the left side of a matrix product");
        this.expectType(statement.b, "vec2<u32>", () => "the right side of a matrix product");
        this.expectType(statement.c, "vec4<f32>", () => "the sum of a matrix product");
        this.declare(statement.name, { kind: "let", type: "vec4<f32>" });
        return;
      case "matrix-load": {
        const array = this.kernel.arrays.find(({ name }) => name === statement.array);
        this.expect(array?.type === "vec4<u32>", () => `a matrix load of ${statement.array}, which holds no vec4<u32>`);
        make.checkIndex(statement.index);
        this.declare(statement.name, { kind: "let", type: vectorOf("u32", statement.matrices) });
        return;
      }
      case "async-copy":
        this.asyncCopy(statement);
        return;
      case "prefetch":
        this.expect(
          this.kernel.buffers.some(({ name }) => name === statement.buffer),
          () => `a prefetch of ${statement.buffer}, which is no buffer`,
        );
        this.expect(
          Number.isInteger(statement.count) && statement.count > 0,
          () => `a prefetch of ${statement.count} elements`,
        );
        make.checkIndex(statement.from);
        return;
      case "async-wait":
        this.expect(
          Number.isInteger(statement.pending) && statement.pending >= 0,
          () => `a wait for ${statement.pending} groups`,
        );
        return;
      case "barrier":
      case "async-commit":
      case "await-previous":
      case "release-next":
      case "comment":
        return;
      default:
        unreachable(statement);
    }
  }

  private asyncCopy(copy: AsyncCopy): void {
    const array = this.kernel.arrays.find(({ name }) => name === copy.array);
    const buffer = this.kernel.buffers.find(({ name }) => name === copy.buffer);
    this.expect(
      array !== undefined && !array.atomic,
      () => `an async copy to ${copy.array}, which is no workgroup array`,
    );
    this.expect(buffer !== undefined, () => `an async copy from ${copy.buffer}, which is no buffer`);
    if (array === undefined || buffer === undefined) return;
    this.expect(array.type === buffer.type, () => `an async copy from ${buffer.type} to ${array.type}`);
    this.expect([4, 8, 16].includes(bytesOf(array.type)), () => `an async copy of ${bytesOf(array.type)} bytes`);
    if (copy.when !== undefined) this.expectType(copy.when, "bool", () => "the condition of an async copy");
  }

  private for(loop: For): void {
    const bounds = [loop.start, loop.end, loop.step];
    this.expect(isInteger(loop.type), () => `${loop.variable} counts in ${loop.type}`);
    for (const bound of bounds) this.expectType(bound, loop.type, () => `a bound of the loop over ${loop.variable}`);
    this.expect(
      loop.step.kind !== "constant" || loop.step.value > 0,
      () => `the loop over ${loop.variable} does not advance`,
    );
    this.expect(
      !loop.unroll || bounds.every(({ kind }) => kind === "constant"),
      () => `${loop.variable} is unrolled without constant bounds`,
    );
    const meaning: Meaning = { kind: "loop variable", type: loop.type };
    this.declareOnce(loop.variable);
    // Targets evaluate the end and the step again in every round.
    const fixed = namesIn([loop.end, loop.step]);
    eachStatement(loop.body, (statement) => {
      const changes = (statement.kind === "assign" || statement.kind === "store") && fixed.has(statement.name);
      this.expect(!changes, () => `the loop over ${loop.variable} changes its own bounds`);
    });
    this.block(loop.body, { loop: loop.unroll ? "unrolled" : "loop" }, [[loop.variable, meaning]]);
  }

  private expression(whole: Expression): void {
    eachExpression(whole, (expression) => {
      if (!this.typed.has(expression)) this.typing(expression);
      if (expression.kind === "local") {
        const meaning = this.lookUp(expression.name);
        this.expect(
          meaning !== undefined && meaning.kind !== "registers",
          () => `${expression.name} is not declared here`,
        );
        this.expectType(expression, meaning?.type, () => `a use of ${expression.name}`);
      } else if (expression.kind === "param") {
        const param = this.kernel.params.find(({ name }) => name === expression.name);
        this.expect(param !== undefined, () => `there is no param ${expression.name}`);
        this.expectType(expression, param?.type, () => `a use of ${expression.name}`);
      } else if (expression.kind === "load") {
        this.expectType(expression, this.elementType(expression), () => `a load from ${expression.name}`);
      }
    });
  }

  private typing(expression: Expression): void {
    this.typed.add(expression);
    try {
      const { type } = remake(expression);
      this.expect(type === expression.type, () => `${expression.kind} is typed ${expression.type}, not ${type}`);
    } catch (error) {
      if (!(error instanceof InternalError)) throw error;
      this.problems.push(error.message);
    }
  }

  private elementType({ space, name }: Pick<Load, "space" | "name">): ValueType | undefined {
    const type =
      space === "buffer"
        ? this.kernel.buffers.find((buffer) => buffer.name === name)?.type
        : space === "workgroup"
          ? this.kernel.arrays.find((array) => array.name === name)?.type
          : this.registerType(name);
    this.expect(type !== undefined, () => `there is no ${space} memory named ${name} here`);
    return type;
  }

  private registerType(name: string): ValueType | undefined {
    const meaning = this.lookUp(name);
    return meaning?.kind === "registers" ? meaning.type : undefined;
  }

  private isWritable({ space, name }: Pick<Load, "space" | "name">): boolean {
    return (
      space !== "buffer" || this.kernel.buffers.some((buffer) => buffer.name === name && buffer.access === "read_write")
    );
  }

  private isAtomic(name: string): boolean {
    return this.kernel.arrays.some((array) => array.name === name && array.atomic);
  }

  private lookUp(name: string): Meaning | undefined {
    return this.scopes.findLast((scope) => scope.has(name))?.get(name);
  }

  private declare(name: string, meaning: Meaning): void {
    this.declareOnce(name);
    this.scopes.at(-1)!.set(name, meaning);
  }

  private declareOnce(name: string): void {
    this.expect(!this.everDeclared.has(name), () => `${name} is declared twice`);
    this.everDeclared.add(name);
  }

  private expectType(expression: Expression, type: ValueType | undefined, where: () => string): void {
    const fits = type === undefined || expression.type === type;
    this.expect(fits, () => `${where()} takes ${type}, not ${expression.type}`);
  }

  /** Most expectations hold, so what to say is worked out only when one does not. */
  private expect(condition: boolean, problem: () => string): void {
    if (!condition) this.problems.push(problem());
  }
}

/** Names of locals and of register arrays that expressions read. */
function namesIn(expressions: readonly Expression[]): ReadonlySet<string> {
  const names = new Set<string>();
  for (const whole of expressions) {
    eachExpression(whole, (expression) => {
      if (expression.kind === "local") names.add(expression.name);
      if (expression.kind === "load") names.add(expression.name);
    });
  }
  return names;
}
