/**
 * Turns expressions into JavaScript for one invocation.
 *
 * Every operation becomes a `const` of its own, rounded to its type; a vector becomes one per component. So nothing is evaluated
 * twice, and `&&` can guard the loads on its right side.
 */
import { unreachable } from "../../diagnostics/diagnostic.js";
import type { Binary, Expression, Load, Unary } from "../../ir/kernel/expressions.js";
import { type ScalarType, scalarOf, type ValueType, widthOf } from "../../ir/kernel/types.js";

/** Where generated lines go, and how names are read. */
export interface LaneCode {
  line(text: string): void;
  /** A name that no other generated value has. */
  temporary(): string;
  /** JavaScript for each component of a local. */
  readLocal(name: string, type: ValueType): readonly string[];
  /** Checks the index, counts the access, and gives JavaScript for each component. */
  readMemory(load: Load, index: string): readonly string[];
}

/** Emits the computation and returns one JavaScript operand per component. */
export function compileExpression(expression: Expression, code: LaneCode): readonly string[] {
  const parts = (operand: Expression) => compileExpression(operand, code);
  const name = (values: readonly string[]): readonly string[] => values.map((value) => bind(value, code));
  const scalar = scalarOf(expression.type);
  switch (expression.kind) {
    case "constant":
      return [expression.type === "bool" ? String(expression.value !== 0) : literal(expression.value)];
    case "local":
      return code.readLocal(expression.name, expression.type);
    case "param":
      return [`p_${expression.name}`];
    case "builtin":
      return [builtins[expression.name]];
    case "load":
      return code.readMemory(expression, parts(expression.index)[0]!);
    case "unary":
      return name(parts(expression.operand).map((value) => unaryText(expression, scalar, value)));
    case "binary":
      return compileBinary(expression, code);
    case "clamp": {
      const [value, low, high] = [expression.value, expression.low, expression.high].map(parts) as string[][];
      return name(value!.map((text, i) => `Math.min(Math.max(${text}, ${low![i]}), ${high![i]})`));
    }
    case "fma": {
      const [a, b, c] = [expression.a, expression.b, expression.c].map(parts) as string[][];
      return name(a!.map((text, i) => round(scalar, `${text} * ${b![i]} + ${c![i]}`)));
    }
    case "select": {
      const [condition, yes, no] = [expression.condition, expression.yes, expression.no].map(parts) as string[][];
      const chooser = (i: number) => (condition!.length === 1 ? condition![0] : condition![i]);
      return name(yes!.map((text, i) => `${chooser(i)} ? ${text} : ${no![i]}`));
    }
    case "convert":
      return name(parts(expression.value).map((value) => convertText(scalarOf(expression.value.type), scalar, value)));
    case "bitcast":
      return name(parts(expression.value).map((value) => bitcastText(scalarOf(expression.value.type), scalar, value)));
    case "vector": {
      const values = expression.parts.flatMap(parts);
      return values.length === 1 ? new Array(widthOf(expression.type)).fill(values[0]!) : values;
    }
    case "extract":
      return [parts(expression.value)[expression.component]!];
    case "dot": {
      const left = parts(expression.left);
      const right = parts(expression.right);
      return [
        left.reduce((sum, value, i) => {
          const product = bind(round(scalar, `${value} * ${right[i]}`), code);
          return i === 0 ? product : bind(round(scalar, `${sum} + ${product}`), code);
        }, ""),
      ];
    }
    case "pack": {
      const bits = expression.format === "f16" ? "halfToBits" : "bfloatToBits";
      const [low, high] = parts(expression.value);
      return name([`(${bits}(${low}) | (${bits}(${high}) << 16)) >>> 0`]);
    }
    case "unpack": {
      const table = expression.format === "f16" ? "halves" : "bfloats";
      const [value] = parts(expression.value);
      return name([`${table}[${value} & 65535]`, `${table}[${value} >>> 16]`]);
    }
    case "add-halves": {
      const [table, bits] = expression.format === "f16" ? ["halves", "halfToBits"] : ["bfloats", "bfloatToBits"];
      const [[left], [right]] = [parts(expression.left), parts(expression.right)];
      const low = `${bits}(${table}[${left} & 65535] + ${table}[${right} & 65535])`;
      const high = `${bits}(${table}[${left} >>> 16] + ${table}[${right} >>> 16])`;
      return name([`(${low} | (${high} << 16)) >>> 0`]);
    }
    default:
      return unreachable(expression);
  }
}

/** JavaScript that rounds a float result, or wraps an integer one, to its type. */
export function round(scalar: ScalarType, text: string): string {
  switch (scalar) {
    case "f32":
      return `fround(${text})`;
    case "f16":
      return `half(${text})`;
    case "bf16":
      return `bfloat(${text})`;
    case "i32":
      return `(${text}) | 0`;
    case "u32":
      return `(${text}) >>> 0`;
    case "bool":
      return text;
  }
}

function bind(text: string, code: LaneCode): string {
  const name = code.temporary();
  code.line(`const ${name} = ${text};`);
  return name;
}

const literal = (value: number) =>
  value < 0 || Object.is(value, -0) ? `(${Object.is(value, -0) ? "-0" : value})` : String(value);

function unaryText({ op }: Unary, scalar: ScalarType, value: string): string {
  switch (op) {
    case "not":
      return `!${value}`;
    case "bit-not":
      return round(scalar, `~${value}`);
    case "neg":
      return scalar === "i32" ? `-${value} | 0` : `-${value}`;
    case "abs":
      return round(scalar, `Math.abs(${value})`);
    case "exp":
    case "log":
    case "log2":
    case "sqrt":
    case "tanh":
    case "floor":
    case "ceil":
      return round(scalar, `Math.${op}(${value})`);
    case "exp2":
      return round(scalar, `Math.pow(2, ${value})`);
    case "inverse-sqrt":
      return round(scalar, `1 / Math.sqrt(${value})`);
  }
}

function compileBinary(expression: Binary, code: LaneCode): readonly string[] {
  const { op } = expression;
  const left = compileExpression(expression.left, code);
  if (op === "and" || op === "or") {
    const result = code.temporary();
    code.line(`let ${result} = ${left[0]};`);
    code.line(`if (${op === "and" ? "" : "!"}${result}) {`);
    code.line(`${result} = ${compileExpression(expression.right, code)[0]};`);
    code.line("}");
    return [result];
  }
  const right = compileExpression(expression.right, code);
  const scalar = scalarOf(expression.left.type);
  return left.map((value, i) => bind(binaryText(op, scalar, value, right[i]!), code));
}

function binaryText(op: Exclude<Binary["op"], "and" | "or">, scalar: ScalarType, a: string, b: string): string {
  const whole = scalar === "i32" || scalar === "u32";
  switch (op) {
    case "add":
      return round(scalar, `${a} + ${b}`);
    case "sub":
      return round(scalar, `${a} - ${b}`);
    case "mul":
      return whole ? round(scalar, `Math.imul(${a}, ${b})`) : round(scalar, `${a} * ${b}`);
    case "div":
      return round(scalar, whole ? `${a} / divisor(${b})` : `${a} / ${b}`);
    case "rem":
      return round(scalar, whole ? `${a} % divisor(${b})` : `${a} % ${b}`);
    case "min":
    case "max":
      return `Math.${op}(${a}, ${b})`;
    case "eq":
      return `${a} === ${b}`;
    case "ne":
      return `${a} !== ${b}`;
    case "lt":
      return `${a} < ${b}`;
    case "le":
      return `${a} <= ${b}`;
    case "gt":
      return `${a} > ${b}`;
    case "ge":
      return `${a} >= ${b}`;
    case "bit-and":
      return round(scalar, `${a} & ${b}`);
    case "bit-or":
      return round(scalar, `${a} | ${b}`);
    case "bit-xor":
      return round(scalar, `${a} ^ ${b}`);
    case "shl":
      return round(scalar, `${a} << ${b}`);
    case "shr":
      return scalar === "u32" ? `${a} >>> ${b}` : `${a} >> ${b}`;
  }
}

function convertText(from: ScalarType, to: ScalarType, value: string): string {
  const float = from === "f32" || from === "f16" || from === "bf16";
  if (to === "i32") return float ? `floatToI32(${value})` : `${value} | 0`;
  if (to === "u32") return float ? `floatToU32(${value})` : `${value} >>> 0`;
  return round(to, value);
}

function bitcastText(from: ScalarType, to: ScalarType, value: string): string {
  if (from === to) return value;
  if (from === "f32") return round(to, `floatBits(${value})`);
  return to === "f32" ? `floatOfBits(${value})` : round(to, value);
}

const builtins = {
  "workgroup_id.x": "wx",
  "workgroup_id.y": "wy",
  "workgroup_id.z": "wz",
  "num_workgroups.x": "nx",
  "num_workgroups.y": "ny",
  "num_workgroups.z": "nz",
  local_id: "t",
  global_id: "(wx * N + t)",
  subgroup_lane: "(t % S)",
  subgroup_size: "S",
} as const;
