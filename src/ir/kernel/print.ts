/**
 * The text form of kernels: for dumps, tests and reports. `parse.ts` reads it back to the same kernel.
 *
 * ```text
 * kernel add_bias workgroup 64 {
 *   doc "Adds bias to every row of x."
 *   dispatch "ceil(rows * width / 64) workgroups"
 *   buffer x: f32 read_write activation
 *   buffer bias: f32 read weight
 *   param width: u32
 *
 *   let %index: u32 = @global_id
 *   x[%index] = add(x[%index], bias[rem(%index, $width)])
 * }
 * ```
 *
 * `%` marks locals, `$` params, `@` built-in values. Operators are written as calls, so nothing depends on precedence.
 */
import { unreachable } from "../../diagnostics/diagnostic.js";
import type { Constant, Expression } from "./expressions.js";
import type { Kernel } from "./kernel.js";
import type { Statement } from "./statements.js";
import { scalarOf } from "./types.js";
import { declaredType } from "./walk.js";
import { Writer } from "./writer.js";

export function printKernel(kernel: Kernel): string {
  const writer = new Writer();
  const resident = kernel.resident === undefined ? "" : ` resident ${kernel.resident}`;
  writer.block(`kernel ${kernel.name} workgroup ${kernel.workgroupSize}${resident} {`, () => {
    writer.line(`doc ${JSON.stringify(kernel.doc)}`);
    if (kernel.origin !== undefined) writer.line(`origin ${JSON.stringify(kernel.origin)}`);
    writer.line(`dispatch ${JSON.stringify(kernel.dispatch)}`);
    for (const { name, type, access, role, once } of kernel.buffers) {
      writer.line(`buffer ${name}: ${type} ${access} ${role}${once ? " once" : ""}`);
    }
    for (const { name, type } of kernel.params) writer.line(`param ${name}: ${type}`);
    for (const { name, type, length, atomic } of kernel.arrays) {
      writer.line(`${atomic ? "atomic" : "array"} ${name}: ${type}[${length}]`);
    }
    writer.line();
    printBlock(kernel.body, writer);
  });
  return writer.toString();
}

function printBlock(block: readonly Statement[], writer: Writer): void {
  for (const statement of block) printStatement(statement, writer);
}

function printStatement(statement: Statement, writer: Writer): void {
  switch (statement.kind) {
    case "let":
    case "var":
      writer.line(
        `${statement.kind} %${statement.name}: ${statement.value.type} = ${printExpression(statement.value)}`,
      );
      return;
    case "registers":
      writer.line(`registers %${statement.name}: ${statement.type}[${statement.length}]`);
      return;
    case "assign":
      writer.line(`%${statement.name} = ${printExpression(statement.value)}`);
      return;
    case "store": {
      const place = printElement(statement.space, statement.name, statement.index);
      const when = statement.when === undefined ? "" : ` when ${printExpression(statement.when)}`;
      writer.line(`${place} = ${printExpression(statement.value)}${when}`);
      return;
    }
    case "atomic": {
      const place = printElement("workgroup", statement.name, statement.index);
      const result = statement.result === undefined ? "" : ` gives %${statement.result}`;
      writer.line(`atomic_${statement.op} ${place} by ${printExpression(statement.value)}${result}`);
      return;
    }
    case "if":
      writer.line(`if ${printExpression(statement.condition)} {`);
      writer.indented(() => printBlock(statement.body, writer));
      if (statement.otherwise.length > 0) {
        writer.line("} else {");
        writer.indented(() => printBlock(statement.otherwise, writer));
      }
      writer.line("}");
      return;
    case "for": {
      const [start, end, step] = [statement.start, statement.end, statement.step].map(printExpression);
      const unroll = statement.unroll ? " unroll" : "";
      const head = `for %${statement.variable}: ${statement.type} from ${start} to ${end} step ${step}${unroll} {`;
      writer.block(head, () => printBlock(statement.body, writer));
      return;
    }
    case "while": {
      const head = `while ${printExpression(statement.condition)} limit ${statement.limit} {`;
      writer.block(head, () => printBlock(statement.body, writer));
      return;
    }
    case "break":
      writer.line(statement.kind);
      return;
    case "barrier":
      writer.line(statement.buffers ? "barrier buffers" : "barrier");
      return;
    case "uniform-load": {
      const place = printElement("workgroup", statement.array, statement.index);
      writer.line(`uniform_load %${statement.name}: ${statement.type} = ${place}`);
      return;
    }
    case "subgroup": {
      const operand = statement.operand === undefined ? "" : ` lane ${statement.operand}`;
      const { name, op, value } = statement;
      writer.line(`subgroup %${name}: ${value.type} = ${word(op)} ${printExpression(value)}${operand}`);
      return;
    }
    case "mma": {
      const [a, b, c] = [statement.a, statement.b, statement.c].map(printExpression);
      writer.line(`mma %${statement.name}: vec4<f32> = ${statement.format} ${a} by ${b} plus ${c}`);
      return;
    }
    case "matrix-load": {
      const place = printElement("workgroup", statement.array, statement.index);
      const type = declaredType(statement)!;
      writer.line(`matrix_load %${statement.name}: ${type} = ${place}${statement.transposed ? " transposed" : ""}`);
      return;
    }
    case "async-copy": {
      const place = printElement("workgroup", statement.array, statement.index);
      const when = statement.when === undefined ? "" : ` when ${printExpression(statement.when)}`;
      writer.line(`async_copy ${place} = ${printElement("buffer", statement.buffer, statement.from)}${when}`);
      return;
    }
    case "prefetch":
      writer.line(`prefetch ${printElement("buffer", statement.buffer, statement.from)} count ${statement.count}`);
      return;
    case "async-commit":
    case "await-previous":
    case "release-next":
      writer.line(word(statement.kind));
      return;
    case "async-wait":
      writer.line(`async_wait ${statement.pending}`);
      return;
    case "comment":
      writer.line(`remark ${JSON.stringify(statement.text)}`);
      return;
    default:
      unreachable(statement);
  }
}

/** The text of an expression, as it stands in a printed kernel. */
export function printExpression(expression: Expression): string {
  const call = (name: string, ...parts: Expression[]) => `${word(name)}(${parts.map(printExpression).join(", ")})`;
  switch (expression.kind) {
    case "constant":
      return printConstant(expression);
    case "local":
      return `%${expression.name}`;
    case "param":
      return `$${expression.name}`;
    case "builtin":
      return `@${expression.name}`;
    case "load":
      return printElement(expression.space, expression.name, expression.index);
    case "unary":
      return call(expression.op, expression.operand);
    case "binary":
      return call(expression.op, expression.left, expression.right);
    case "clamp":
      return call("clamp", expression.value, expression.low, expression.high);
    case "fma":
      return call("fma", expression.a, expression.b, expression.c);
    case "select":
      return call("select", expression.condition, expression.yes, expression.no);
    case "convert":
      return call(`to_${scalarOf(expression.type)}`, expression.value);
    case "bitcast":
      return call(`as_${scalarOf(expression.type)}`, expression.value);
    case "vector":
      return call(expression.type, ...expression.parts);
    case "extract":
      return `${printExpression(expression.value)}.${"xyzw"[expression.component]}`;
    case "dot":
      return call("dot", expression.left, expression.right);
    case "pack":
    case "unpack":
      return call(`${expression.kind}_${expression.format}`, expression.value);
    case "add-halves":
      return call(`add_${expression.format}`, expression.left, expression.right);
    default:
      return unreachable(expression);
  }
}

function printElement(space: string, name: string, index: Expression): string {
  return `${space === "register" ? "%" : ""}${name}[${printExpression(index)}]`;
}

const suffixes = { f32: "f", f16: "h", i32: "i", u32: "u" } as const;

function printConstant({ type, value }: Constant): string {
  if (type === "bool") return value !== 0 ? "true" : "false";
  const text = Object.is(value, -0) ? "-0" : String(value);
  return `${text}${suffixes[type as keyof typeof suffixes]}`;
}

/** Operators as words of the text form: `bit-and` is `bit_and`. */
const word = (op: string) => op.replaceAll("-", "_");
