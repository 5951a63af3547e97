/**
 * Finds what is the same in every invocation of a workgroup, and which statements the whole workgroup is sure to reach.
 *
 * A value is uniform when it comes from constants, params, workgroup ids, uniform loads, and read-only buffers at uniform indices.
 * A variable is uniform when all it is ever assigned is, at places that are reached together. This is a little stricter than what
 * WGSL asks (which follows the order of assignments), so what passes here passes there.
 */
import type { Expression } from "./expressions.js";
import type { Kernel } from "./kernel.js";
import type { Statement } from "./statements.js";
import { operandsOf } from "./walk.js";

export interface Uniformity {
  isUniform(expression: Expression): boolean;
  /** Statements where invocations meet although some of them may not come. */
  readonly unreached: readonly Statement[];
}

export function inferUniformity(kernel: Kernel): Uniformity {
  const analysis = new UniformityAnalysis(kernel);
  analysis.run();
  return analysis;
}

class UniformityAnalysis implements Uniformity {
  /** Locals and register arrays that may differ between invocations. Only grows. */
  private readonly varying = new Set<string>();
  private readonly readOnly: ReadonlySet<string>;
  private changed = false;
  unreached: Statement[] = [];

  constructor(private readonly kernel: Kernel) {
    this.readOnly = new Set(kernel.buffers.filter(({ access }) => access === "read").map(({ name }) => name));
  }

  /** Assignments in loops feed back into conditions, so the walk repeats until nothing changes. */
  run(): void {
    do {
      this.changed = false;
      this.unreached = [];
      this.block(this.kernel.body, true);
    } while (this.changed);
  }

  isUniform(expression: Expression): boolean {
    switch (expression.kind) {
      case "local":
        return !this.varying.has(expression.name);
      case "builtin":
        return expression.name.startsWith("workgroup_id") || expression.name.startsWith("num_workgroups");
      case "load":
        if (expression.space === "workgroup") return false;
        if (expression.space === "buffer" && !this.readOnly.has(expression.name)) return false;
        if (expression.space === "register" && this.varying.has(expression.name)) return false;
        return this.isUniform(expression.index);
      default:
        return operandsOf(expression).every((operand) => this.isUniform(operand));
    }
  }

  private vary(name: string): void {
    if (this.varying.has(name)) return;
    this.varying.add(name);
    this.changed = true;
  }

  private block(block: readonly Statement[], together: boolean): void {
    for (const statement of block) this.statement(statement, together);
  }

  /** `together`: all invocations of the workgroup are here, or none. */
  private statement(statement: Statement, together: boolean): void {
    switch (statement.kind) {
      case "let":
      case "var":
        if (!this.isUniform(statement.value)) this.vary(statement.name);
        return;
      case "assign":
        if (!together || !this.isUniform(statement.value)) this.vary(statement.name);
        return;
      case "store": {
        const conditions = [statement.index, statement.value, ...(statement.when ? [statement.when] : [])];
        const same = together && conditions.every((expression) => this.isUniform(expression));
        if (statement.space === "register" && !same) this.vary(statement.name);
        return;
      }
      case "atomic":
        if (statement.result !== undefined) this.vary(statement.result);
        return;
      case "if": {
        const inside = together && this.isUniform(statement.condition);
        this.block(statement.body, inside);
        this.block(statement.otherwise, inside);
        return;
      }
      case "for": {
        const bounds = [statement.start, statement.end, statement.step].every((bound) => this.isUniform(bound));
        const inside = together && bounds && !this.leavesAlone(statement.body);
        if (!inside) this.vary(statement.variable);
        this.block(statement.body, inside);
        return;
      }
      case "while": {
        const inside = together && this.isUniform(statement.condition) && !this.leavesAlone(statement.body);
        this.block(statement.body, inside);
        return;
      }
      case "subgroup":
      case "mma":
      case "matrix-load":
        this.vary(statement.name);
        if (!together) this.unreached.push(statement);
        return;
      case "barrier":
        if (!together) this.unreached.push(statement);
        return;
      case "uniform-load":
        if (!together) this.unreached.push(statement);
        return;
      default:
        return;
    }
  }

  /** Whether some invocations may leave the loop around `block` by a `break` while others stay. */
  private leavesAlone(block: readonly Statement[], uniform = true): boolean {
    return block.some((statement) => {
      if (statement.kind === "break") return !uniform;
      if (statement.kind !== "if") return false;
      const inside = uniform && this.isUniform(statement.condition);
      return this.leavesAlone(statement.body, inside) || this.leavesAlone(statement.otherwise, inside);
    });
  }
}
