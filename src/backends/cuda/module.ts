import { InternalError } from "../../diagnostics/diagnostic.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { Writer } from "../../ir/kernel/writer.js";
import { longestLine, writeComment } from "../text/comment.js";
import { nameDeclarations } from "../text/names.js";
import type { Spelling } from "./expressions.js";
import { preambleName } from "./preamble.js";
import { reservedInCuda } from "./reserved.js";
import { writeBlock } from "./statements.js";

/**
 * The CUDA C++ file of a kernel: one `extern "C"` function named like the kernel.
 *
 * Its parameters are the buffers in order, as pointers, then the params as one struct by value. It includes the preamble, which
 * defines the types and wraps what needs PTX; an emulator brings its own, in which buffers and shared arrays check what touches them.
 */
export function emitCuda(kernel: Kernel): string {
  const needsWarps = kernel.requires.includes("subgroups") || kernel.requires.includes("matrix");
  if (needsWarps && kernel.workgroupSize % 32 !== 0) {
    throw new InternalError(`${kernel.name} has ${kernel.workgroupSize} invocations, which are no whole warps`);
  }
  const spelling: Spelling = {
    names: nameDeclarations(kernel, reservedInCuda),
    workgroupSize: kernel.workgroupSize,
    once: new Set(kernel.buffers.filter(({ once }) => once).map(({ name }) => name)),
  };
  const writer = new Writer();
  writeHeader(kernel, writer);
  writer.line(`#include "${preambleName}"`);
  writer.line();
  writeParams(kernel, spelling, writer);
  writeFunction(kernel, spelling, writer);
  return writer.toString();
}

function writeHeader(kernel: Kernel, writer: Writer): void {
  writeComment(`${kernel.name}: ${kernel.doc}`, writer);
  if (kernel.origin !== undefined) writer.line(`// From ${kernel.origin}.`);
  writeComment(`Launch: ${kernel.dispatch}, ${kernel.workgroupSize} threads each.`, writer);
}

function writeParams(kernel: Kernel, { names }: Spelling, writer: Writer): void {
  if (kernel.params.length === 0) return;
  const fields = () => {
    for (const { name, type } of kernel.params) writer.line(`${type} ${names.get(name)!};`);
  };
  writer.block(`struct ${kernel.name}_params {`, fields, "};");
  writer.line();
}

function writeFunction(kernel: Kernel, spelling: Spelling, writer: Writer): void {
  const { names } = spelling;
  const parameters = kernel.buffers.map(({ name, type, access, role }) => {
    const own = names.get(name)!;
    if (access === "read_write") return `buffer<${type}> ${own}`;
    // What an earlier kernel may still be writing must not pass for constant memory, whose loads need not wait.
    return role === "weight" ? `buffer<const ${type}> ${own}` : `produced<const ${type}> ${own}`;
  });
  if (kernel.params.length > 0) parameters.push(`const ${kernel.name}_params params`);
  const bounds = [kernel.workgroupSize, ...(kernel.resident === undefined ? [] : [kernel.resident])].join(", ");
  writer.line(`extern "C" __global__ void __launch_bounds__(${bounds})`);
  const oneLine = `${kernel.name}(${parameters.join(", ")}) {`;
  if (oneLine.length <= longestLine) writer.line(oneLine);
  else {
    const lines = parameters.join(",\n").split("\n");
    writer.line(`${kernel.name}(`);
    writer.indented(() => {
      for (const line of lines) writer.line(line);
    });
    writer.line(") {");
  }
  writer.indented(() => {
    for (const { name, type, length } of kernel.arrays) {
      writer.line(`SHARED(${type}, ${names.get(name)!}, ${length});`);
    }
    writeBlock(kernel.body, spelling, writer);
  });
  writer.line("}");
}
