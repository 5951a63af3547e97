import { InternalError } from "../../diagnostics/diagnostic.js";
import type { Builtin, Expression } from "../../ir/kernel/expressions.js";
import { type Kernel, paramsBinding, type WorkgroupArray } from "../../ir/kernel/kernel.js";
import { expandUnrolled } from "../../ir/kernel/unroll.js";
import { eachExpressionIn } from "../../ir/kernel/walk.js";
import { Writer } from "../../ir/kernel/writer.js";
import { writeComment } from "../text/comment.js";
import { nameDeclarations } from "../text/names.js";
import { type Spelling, spellType } from "./expressions.js";
import { reservedInWgsl } from "./reserved.js";
import { writeBlock } from "./statements.js";

/**
 * The WGSL module of a kernel: one entry point named like the kernel.
 *
 * Bindings are in group 0: the buffers in order from 0, then the params as a uniform struct.
 */
export function emitWgsl(kernel: Kernel): string {
  for (const capability of kernel.requires) {
    if (capability !== "subgroups" && capability !== "f16") {
      throw new InternalError(`${kernel.name} needs ${capability}, which WGSL does not have`);
    }
  }
  const expanded = expandUnrolled(kernel);
  const spelling: Spelling = {
    names: nameDeclarations(expanded, reservedInWgsl),
    atomics: new Set(kernel.arrays.filter((array) => array.atomic).map((array) => array.name)),
  };
  const writer = new Writer();
  writeHeader(expanded, writer);
  writeEnables(expanded, writer);
  writeBindings(expanded, spelling, writer);
  const used = usesOf(expanded);
  writeHelpers(used, writer);
  writeEntryPoint(expanded, used, spelling, writer);
  return writer.toString();
}

function writeHeader(kernel: Kernel, writer: Writer): void {
  writeComment(`${kernel.name}: ${kernel.doc}`, writer);
  if (kernel.origin !== undefined) writer.line(`// From ${kernel.origin}.`);
  writeComment(`Dispatch: ${kernel.dispatch}.`, writer);
  writer.line();
}

function writeEnables(kernel: Kernel, writer: Writer): void {
  const enables = [
    ...(kernel.requires.includes("f16") ? ["enable f16;"] : []),
    ...(kernel.requires.includes("subgroups") ? ["enable subgroups;"] : []),
  ];
  for (const enable of enables) writer.line(enable);
  if (enables.length > 0) writer.line();
}

function writeBindings(kernel: Kernel, { names }: Spelling, writer: Writer): void {
  if (kernel.params.length > 0) {
    writer.block("struct Params {", () => {
      for (const { name, type } of kernel.params) writer.line(`${names.get(name)!}: ${type},`);
    });
    writer.line();
  }
  kernel.buffers.forEach(({ name, type, access }, binding) => {
    const declaration = `var<storage, ${access}> ${names.get(name)!}: array<${spellType(type)}>;`;
    writer.line(`@group(0) @binding(${binding}) ${declaration}`);
  });
  if (kernel.params.length > 0) {
    writer.line(`@group(0) @binding(${paramsBinding(kernel)}) var<uniform> params: Params;`);
  }
  writer.line();
  for (const array of kernel.arrays) {
    writer.line(`var<workgroup> ${names.get(array.name)!}: array<${elementType(array)}, ${array.length}>;`);
  }
  if (kernel.arrays.length > 0) writer.line();
}

function elementType(array: WorkgroupArray): string {
  return array.atomic ? "atomic<u32>" : spellType(array.type);
}

/** A function for halves in words: WGSL has no bf16, and sums of pairs of neither kind. */
type Helper = "unpack_bf16" | "pack_bf16" | "add_bf16" | "add_f16";

/** What a body needs besides its statements. */
interface Uses {
  /** Functions for what WGSL lacks. */
  readonly helpers: ReadonlySet<Helper>;
  /** Built-in values, without their component. */
  readonly builtins: ReadonlySet<string>;
}

function usesOf(kernel: Kernel): Uses {
  const helpers = new Set<Helper>();
  const builtins = new Set<string>();
  eachExpressionIn(kernel.body, (expression) => {
    if (expression.kind === "builtin") builtins.add(baseName(expression));
    for (const helper of helpersOf(expression)) helpers.add(helper);
  });
  return { helpers, builtins };
}

function helpersOf(expression: Expression): readonly Helper[] {
  if (expression.kind === "add-halves") {
    return expression.format === "f16" ? ["add_f16"] : ["unpack_bf16", "pack_bf16", "add_bf16"];
  }
  if (expression.kind !== "pack" && expression.kind !== "unpack") return [];
  return expression.format === "bf16" ? [`${expression.kind}_bf16`] : [];
}

function writeHelpers({ helpers }: Uses, writer: Writer): void {
  if (helpers.has("unpack_bf16")) {
    writer.line("// The two bf16 values of a word: a bf16 is the upper half of an f32.");
    writer.block("fn unpack_bf16(word: u32) -> vec2<f32> {", () => {
      writer.line("return bitcast<vec2<f32>>(vec2<u32>(word << 16u, word & 0xffff0000u));");
    });
    writer.line();
  }
  if (helpers.has("pack_bf16")) {
    writer.line("// Two f32 rounded to bf16, to the nearest and ties to even, in one word.");
    writer.block("fn pack_bf16(pair: vec2<f32>) -> u32 {", () => {
      writer.line("let bits = bitcast<vec2<u32>>(pair);");
      writer.line("let even = (bits >> vec2<u32>(16u)) & vec2<u32>(1u);");
      writer.line("let halves = (bits + vec2<u32>(0x7fffu) + even) >> vec2<u32>(16u);");
      writer.line("return halves.x | (halves.y << 16u);");
    });
    writer.line();
  }
  for (const [helper, pack, unpack] of [
    ["add_bf16", "pack_bf16", "unpack_bf16"],
    ["add_f16", "pack2x16float", "unpack2x16float"],
  ] as const) {
    if (!helpers.has(helper)) continue;
    writer.line("// The sums of two pairs of halves.");
    writer.block(`fn ${helper}(a: u32, b: u32) -> u32 {`, () => {
      writer.line(`return ${pack}(${unpack}(a) + ${unpack}(b));`);
    });
    writer.line();
  }
}

function writeEntryPoint(kernel: Kernel, { builtins }: Uses, spelling: Spelling, writer: Writer): void {
  writer.line(`@compute @workgroup_size(${kernel.workgroupSize})`);
  const inputs = builtinInputs
    .filter(([name]) => builtins.has(name))
    .map(([name, builtin, type]) => `@builtin(${builtin}) ${name}: ${type}`);
  if (inputs.length <= 1) writer.line(`fn ${kernel.name}(${inputs.join("")}) {`);
  else {
    writer.line(`fn ${kernel.name}(`);
    writer.indented(() => {
      for (const input of inputs) writer.line(`${input},`);
    });
    writer.line(") {");
  }
  writer.indented(() => writeBlock(kernel.body, spelling, writer));
  writer.line("}");
}

const baseName = ({ name }: Builtin) => name.replace(/\.[xyz]$/, "");

/** What an entry point may take as parameters. */
const builtinInputs = [
  ["workgroup_id", "workgroup_id", "vec3<u32>"],
  ["num_workgroups", "num_workgroups", "vec3<u32>"],
  ["local_id", "local_invocation_index", "u32"],
  ["global_id", "global_invocation_id", "vec3<u32>"],
  ["subgroup_lane", "subgroup_invocation_id", "u32"],
  ["subgroup_size", "subgroup_size", "u32"],
] as const;
