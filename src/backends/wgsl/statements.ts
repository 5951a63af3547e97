import { InternalError, unreachable } from "../../diagnostics/diagnostic.js";
import type { For, Statement, Store } from "../../ir/kernel/statements.js";
import type { Writer } from "../../ir/kernel/writer.js";
import { writeComment } from "../text/comment.js";
import { loopCondition } from "../text/loop.js";
import { spellUpdate } from "../text/update.js";
import { type Spelling, spell, spellType } from "./expressions.js";

/** Writes the statements of a block. Unrolled loops have been expanded before. */
export function writeBlock(block: readonly Statement[], spelling: Spelling, writer: Writer): void {
  for (const statement of block) writeStatement(statement, spelling, writer);
}

function writeStatement(statement: Statement, spelling: Spelling, writer: Writer): void {
  const name = (kernelName: string) => spelling.names.get(kernelName)!;
  switch (statement.kind) {
    case "let":
      writer.line(`let ${name(statement.name)} = ${spell(statement.value, spelling)};`);
      return;
    case "var":
      writer.line(`var ${name(statement.name)} = ${spell(statement.value, spelling)};`);
      return;
    case "registers":
      writer.line(`var ${name(statement.name)}: array<${spellType(statement.type)}, ${statement.length}>;`);
      return;
    case "assign":
      writer.line(spellUpdate(name(statement.name), statement.value, (expression) => spell(expression, spelling)));
      return;
    case "store":
      writeStore(statement, spelling, writer);
      return;
    case "atomic": {
      const place = `&${name(statement.name)}[${spell(statement.index, spelling)}]`;
      const call = `${statement.op === "add" ? "atomicAdd" : "atomicMax"}(${place}, ${spell(statement.value, spelling)});`;
      writer.line(statement.result === undefined ? call : `let ${name(statement.result)} = ${call}`);
      return;
    }
    case "if":
      writer.line(`if (${spell(statement.condition, spelling)}) {`);
      writer.indented(() => writeBlock(statement.body, spelling, writer));
      if (statement.otherwise.length > 0) {
        writer.line("} else {");
        writer.indented(() => writeBlock(statement.otherwise, spelling, writer));
      }
      writer.line("}");
      return;
    case "for":
      writeFor(statement, spelling, writer);
      return;
    case "while":
      writer.block(`while (${spell(statement.condition, spelling)}) {`, () =>
        writeBlock(statement.body, spelling, writer),
      );
      return;
    case "break":
      writer.line("break;");
      return;
    case "barrier":
      if (statement.buffers) writer.line("storageBarrier();");
      writer.line("workgroupBarrier();");
      return;
    case "uniform-load": {
      const place = `&${name(statement.array)}[${spell(statement.index, spelling)}]`;
      writer.line(`let ${name(statement.name)} = workgroupUniformLoad(${place});`);
      return;
    }
    case "subgroup": {
      const operand = statement.operand === undefined ? "" : `, ${statement.operand}u`;
      const value = spell(statement.value, spelling);
      writer.line(`let ${name(statement.name)} = ${subgroupFunctions[statement.op]}(${value}${operand});`);
      return;
    }
    case "mma":
    case "matrix-load":
    case "async-copy":
    case "async-commit":
    case "async-wait":
    case "await-previous":
    case "release-next":
    case "prefetch":
      throw new InternalError(`WGSL has no ${statement.kind}`);
    case "comment":
      writeComment(statement.text, writer);
      return;
    default:
      unreachable(statement);
  }
}

function writeStore(store: Store, spelling: Spelling, writer: Writer): void {
  const place = `${spelling.names.get(store.name)!}[${spell(store.index, spelling)}]`;
  const atomic = store.space === "workgroup" && spelling.atomics.has(store.name);
  const text = atomic
    ? `atomicStore(&${place}, ${spell(store.value, spelling)});`
    : spellUpdate(place, store.value, (expression) => spell(expression, spelling));
  if (store.when === undefined) {
    writer.line(text);
    return;
  }
  writer.block(`if (${spell(store.when, spelling)}) {`, () => writer.line(text));
}

function writeFor(loop: For, spelling: Spelling, writer: Writer): void {
  if (loop.unroll) throw new InternalError(`the loop over ${loop.variable} was not expanded`);
  const variable = spelling.names.get(loop.variable)!;
  const start = `var ${variable} = ${spell(loop.start, spelling)}`;
  writer.block(
    `for (${start}; ${spell(loopCondition(loop), spelling)}; ${variable} += ${spell(loop.step, spelling)}) {`,
    () => writeBlock(loop.body, spelling, writer),
  );
}

const subgroupFunctions = {
  add: "subgroupAdd",
  max: "subgroupMax",
  min: "subgroupMin",
  broadcast: "subgroupBroadcast",
  "shuffle-xor": "subgroupShuffleXor",
} as const;
