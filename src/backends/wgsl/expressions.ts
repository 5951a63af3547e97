import { InternalError, unreachable } from "../../diagnostics/diagnostic.js";
import type { Binary, Builtin, Constant, Expression, Load, UnaryOp } from "../../ir/kernel/expressions.js";
import { scalarOf, type ValueType, widthOf } from "../../ir/kernel/types.js";
import { floatText, wordText } from "../text/literals.js";
import { at, chains, infixOperators, levels, primary, type Spelled } from "../text/precedence.js";

/** What the spelling of an expression depends on besides itself. */
export interface Spelling {
  /** From names in the kernel to names in the text. */
  readonly names: ReadonlyMap<string, string>;
  /** Workgroup arrays that hold atomics. */
  readonly atomics: ReadonlySet<string>;
}

/** The WGSL text of an expression, to stand alone. */
export function spell(expression: Expression, spelling: Spelling): string {
  return spellTight(expression, spelling).text;
}

function spellTight(expression: Expression, spelling: Spelling): Spelled {
  const text = (part: Expression) => spell(part, spelling);
  const call = (name: string, ...parts: Expression[]) => primary(`${name}(${parts.map(text).join(", ")})`);
  switch (expression.kind) {
    case "constant":
      return spellConstant(expression);
    case "local":
      return primary(spelling.names.get(expression.name)!);
    case "param":
      return primary(`params.${spelling.names.get(expression.name)!}`);
    case "builtin":
      return primary(spellBuiltin(expression));
    case "load":
      return spellLoad(expression, spelling);
    case "unary":
      return expression.op === "neg" || expression.op === "not" || expression.op === "bit-not"
        ? {
            text: prefixSigns[expression.op] + at(levels.primary, spellTight(expression.operand, spelling)),
            level: levels.unary,
          }
        : call(unaryFunctions[expression.op], expression.operand);
    case "binary":
      return spellBinary(expression, spelling);
    case "clamp":
      return call("clamp", expression.value, expression.low, expression.high);
    case "fma":
      return call("fma", expression.a, expression.b, expression.c);
    case "select":
      return call("select", expression.no, expression.yes, expression.condition);
    case "convert":
      return call(spellType(expression.type), expression.value);
    case "bitcast":
      return call(`bitcast<${spellType(expression.type)}>`, expression.value);
    case "vector":
      return spellVector(expression.type, expression.parts, spelling);
    case "extract":
      return primary(`${at(levels.primary, spellTight(expression.value, spelling))}.${"xyzw"[expression.component]}`);
    case "dot":
      return call("dot", expression.left, expression.right);
    case "pack":
      return call(expression.format === "f16" ? "pack2x16float" : "pack_bf16", expression.value);
    case "unpack":
      return call(expression.format === "f16" ? "unpack2x16float" : "unpack_bf16", expression.value);
    case "add-halves":
      return call(`add_${expression.format}`, expression.left, expression.right);
    default:
      return unreachable(expression);
  }
}

export function spellType(type: ValueType): string {
  if (scalarOf(type) === "bf16") throw new InternalError("WGSL has no bf16: store packed u32 and unpack");
  return type;
}

function spellConstant({ type, value }: Constant): Spelled {
  const literal = (text: string): Spelled => ({ text, level: text.startsWith("-") ? levels.unary : levels.primary });
  switch (type) {
    case "bool":
      return primary(value !== 0 ? "true" : "false");
    case "u32":
      return primary(wordText(value));
    case "i32":
      // The literal of the smallest i32 would overflow before its sign is applied.
      return value === -2147483648 ? primary("i32(-2147483648)") : literal(`${value}i`);
    case "f32":
      return literal(`${floatText(value)}f`);
    case "f16":
      return literal(`${floatText(value)}h`);
    case "bf16":
      throw new InternalError("bf16 has no constants");
  }
}

function spellBuiltin({ name }: Builtin): string {
  return name === "global_id" ? "global_id.x" : name;
}

function spellLoad(load: Load, spelling: Spelling): Spelled {
  const place = `${spelling.names.get(load.name)!}[${spell(load.index, spelling)}]`;
  return primary(load.space === "workgroup" && spelling.atomics.has(load.name) ? `atomicLoad(&${place})` : place);
}

function spellBinary({ op, left, right }: Binary, spelling: Spelling): Spelled {
  if (op === "min" || op === "max") {
    return primary(`${op}(${spell(left, spelling)}, ${spell(right, spelling)})`);
  }
  const { sign, level, left: leftLevel, right: rightLevel } = infixOperators[op];
  const chained = chains.has(op) && left.kind === "binary" && left.op === op;
  const mixes = level === levels.sum || level === levels.product;
  const leftText = at(chained ? level : leftLevel, spellTight(mixes ? unfilled(left, right) : left, spelling));
  const rightText = at(rightLevel, spellTight(mixes ? unfilled(right, left) : right, spelling));
  return { text: `${leftText} ${sign} ${rightText}`, level };
}

/** WGSL takes a scalar beside a vector in arithmetic, so one that only fills components is written as it is. */
function unfilled(side: Expression, other: Expression): Expression {
  const fills = (expression: Expression) => expression.kind === "vector" && expression.parts.length === 1;
  return fills(side) && !fills(other) && side.kind === "vector" ? side.parts[0]! : side;
}

function spellVector(type: ValueType, parts: readonly Expression[], spelling: Spelling): Spelled {
  // `vec2<bool>(a < b, c > d)` would read `a<b, c>` as a template: comparisons get parentheses.
  const level = scalarOf(type) === "bool" && widthOf(type) > 1 ? levels.unary : levels.any;
  return primary(`${spellType(type)}(${parts.map((part) => at(level, spellTight(part, spelling))).join(", ")})`);
}

const prefixSigns = { neg: "-", not: "!", "bit-not": "~" } as const;

const unaryFunctions: Readonly<Record<Exclude<UnaryOp, keyof typeof prefixSigns>, string>> = {
  abs: "abs",
  exp: "exp",
  exp2: "exp2",
  log: "log",
  log2: "log2",
  sqrt: "sqrt",
  "inverse-sqrt": "inverseSqrt",
  tanh: "tanh",
  floor: "floor",
  ceil: "ceil",
};
