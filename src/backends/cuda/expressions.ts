import { InternalError, unreachable } from "../../diagnostics/diagnostic.js";
import type { Binary, BuiltinName, Constant, Expression, UnaryOp } from "../../ir/kernel/expressions.js";
import { isFloat, isInteger, scalarOf, widthOf } from "../../ir/kernel/types.js";
import { floatText, wordText } from "../text/literals.js";
import { at, chains, infixOperators, levels, primary, type Spelled } from "../text/precedence.js";

/** What the spelling of an expression depends on besides itself. */
export interface Spelling {
  /** From names in the kernel to names in the text. */
  readonly names: ReadonlyMap<string, string>;
  readonly workgroupSize: number;
  /** Names in the kernel of the buffers that are loaded once. */
  readonly once: ReadonlySet<string>;
}

/**
 * The CUDA C++ text of an expression, to stand alone.
 *
 * Types are written as in the kernel (`f32`, `vec4<f32>`): the preamble defines them, with operators and functions that work on
 * scalars and vectors alike.
 */
export function spell(expression: Expression, spelling: Spelling): string {
  return spellTight(expression, spelling).text;
}

function spellTight(expression: Expression, spelling: Spelling): Spelled {
  const tight = (part: Expression) => spellTight(part, spelling);
  const call = (name: string, ...parts: Expression[]) =>
    primary(`${name}(${parts.map((part) => spell(part, spelling)).join(", ")})`);
  switch (expression.kind) {
    case "constant":
      return spellConstant(expression);
    case "local":
      return primary(spelling.names.get(expression.name)!);
    case "param":
      return primary(`params.${spelling.names.get(expression.name)!}`);
    case "builtin":
      return spellBuiltin(expression.name, spelling);
    case "load": {
      const [name, index] = [spelling.names.get(expression.name)!, spell(expression.index, spelling)];
      return primary(spelling.once.has(expression.name) ? `load_once(${name}, ${index})` : `${name}[${index}]`);
    }
    case "unary":
      return expression.op === "neg" || expression.op === "not" || expression.op === "bit-not"
        ? { text: prefixSigns[expression.op] + at(levels.primary, tight(expression.operand)), level: levels.unary }
        : call(unaryFunctions[expression.op], expression.operand);
    case "binary":
      return spellBinary(expression, spelling);
    case "clamp":
      return call("clamp", expression.value, expression.low, expression.high);
    case "fma":
      return call("fma", expression.a, expression.b, expression.c);
    case "select": {
      if (widthOf(expression.condition.type) > 1) {
        return call("select", expression.condition, expression.yes, expression.no);
      }
      const [condition, yes, no] = [expression.condition, expression.yes, expression.no].map((part) =>
        at(levels.logic, tight(part)),
      );
      return { text: `${condition} ? ${yes} : ${no}`, level: levels.any };
    }
    case "convert":
      // C++ leaves it open what becomes of a float out of an integer's range; the preamble's function does not.
      return widthOf(expression.type) > 1 || (isInteger(expression.type) && isFloat(expression.value.type))
        ? call(`convert<${scalarOf(expression.type)}>`, expression.value)
        : call(scalarOf(expression.type), expression.value);
    case "bitcast":
      return call(`bitcast<${expression.type}>`, expression.value);
    case "vector": {
      const parts = expression.parts.map((part) => spell(part, spelling)).join(", ");
      return primary(
        expression.parts.length === 1 ? `fill${widthOf(expression.type)}(${parts})` : `${expression.type}{${parts}}`,
      );
    }
    case "extract":
      return primary(`${at(levels.primary, tight(expression.value))}.${"xyzw"[expression.component]}`);
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

function spellConstant({ type, value }: Constant): Spelled {
  const literal = (text: string): Spelled => ({ text, level: text.startsWith("-") ? levels.unary : levels.primary });
  switch (type) {
    case "bool":
      return primary(value !== 0 ? "true" : "false");
    case "u32":
      return primary(wordText(value));
    case "i32":
      // The literal of the smallest int would overflow before its sign is applied.
      return value === -2147483648 ? primary("i32(0x80000000u)") : literal(String(value));
    case "f32":
      return literal(`${floatText(value)}f`);
    case "f16":
      return primary(`f16(${floatText(value)}f)`);
    case "bf16":
      throw new InternalError("bf16 has no constants");
  }
}

function spellBuiltin(name: BuiltinName, { workgroupSize }: Spelling): Spelled {
  switch (name) {
    case "workgroup_id.x":
    case "workgroup_id.y":
    case "workgroup_id.z":
      return primary(`blockIdx.${name.at(-1)}`);
    case "num_workgroups.x":
    case "num_workgroups.y":
    case "num_workgroups.z":
      return primary(`gridDim.${name.at(-1)}`);
    case "local_id":
      return primary("threadIdx.x");
    case "global_id":
      return { text: `blockIdx.x * ${workgroupSize}u + threadIdx.x`, level: levels.sum };
    case "subgroup_lane":
      return { text: "threadIdx.x % 32u", level: levels.product };
    case "subgroup_size":
      return primary("32u");
  }
}

function spellBinary({ op, left, right }: Binary, spelling: Spelling): Spelled {
  const isFloat = scalarOf(left.type) === "f32" || scalarOf(left.type) === "f16";
  if (op === "min" || op === "max" || (op === "rem" && isFloat)) {
    const name = op === "rem" ? "fmod" : op;
    return primary(`${name}(${spell(left, spelling)}, ${spell(right, spelling)})`);
  }
  const { sign, level, left: leftLevel, right: rightLevel } = infixOperators[op];
  const chained = chains.has(op) && left.kind === "binary" && left.op === op;
  const leftText = at(chained ? level : leftLevel, spellTight(left, spelling));
  const rightText = at(rightLevel, spellTight(right, spelling));
  return { text: `${leftText} ${sign} ${rightText}`, level };
}

const prefixSigns = { neg: "-", not: "!", "bit-not": "~" } as const;

const unaryFunctions: Readonly<Record<Exclude<UnaryOp, keyof typeof prefixSigns>, string>> = {
  abs: "abs",
  exp: "exp",
  exp2: "exp2",
  log: "log",
  log2: "log2",
  sqrt: "sqrt",
  "inverse-sqrt": "rsqrt",
  tanh: "tanh",
  floor: "floor",
  ceil: "ceil",
};
