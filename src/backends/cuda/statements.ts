import { unreachable } from "../../diagnostics/diagnostic.js";
import type { Expression } from "../../ir/kernel/expressions.js";
import type { AsyncCopy, For, Statement, Store } from "../../ir/kernel/statements.js";
import { declaredName, declaredType } from "../../ir/kernel/walk.js";
import type { Writer } from "../../ir/kernel/writer.js";
import { writeComment } from "../text/comment.js";
import { loopCondition } from "../text/loop.js";
import { spellUpdate } from "../text/update.js";
import { type Spelling, spell } from "./expressions.js";

/** Writes the statements of a block. */
export function writeBlock(block: readonly Statement[], spelling: Spelling, writer: Writer): void {
  for (const statement of block) writeStatement(statement, spelling, writer);
}

function writeStatement(statement: Statement, spelling: Spelling, writer: Writer): void {
  const name = (kernelName: string) => spelling.names.get(kernelName)!;
  const text = (expression: Expression) => spell(expression, spelling);
  /** Memory and an index, as arguments. */
  const place = (memory: string, index: Expression) => `${name(memory)}, ${text(index)}`;
  /** `const f32 sum = …;` */
  const define = (value: string) => {
    writer.line(`const ${declaredType(statement)!} ${name(declaredName(statement)!)} = ${value};`);
  };
  switch (statement.kind) {
    case "let":
      define(text(statement.value));
      return;
    case "var":
      writer.line(`${statement.value.type} ${name(statement.name)} = ${text(statement.value)};`);
      return;
    case "registers":
      writer.line(`${statement.type} ${name(statement.name)}[${statement.length}] = {};`);
      return;
    case "assign":
      writer.line(spellUpdate(name(statement.name), statement.value, text));
      return;
    case "store":
      writeStore(statement, spelling, writer);
      return;
    case "atomic": {
      const call = `atomic_${statement.op}(${place(statement.name, statement.index)}, ${text(statement.value)});`;
      writer.line(statement.result === undefined ? call : `const u32 ${name(statement.result)} = ${call}`);
      return;
    }
    case "if":
      writer.line(`if (${text(statement.condition)}) {`);
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
      writer.block(`while (${text(statement.condition)}) {`, () => writeBlock(statement.body, spelling, writer));
      return;
    case "break":
      writer.line("break;");
      return;
    case "barrier":
      writer.line("__syncthreads();");
      return;
    case "uniform-load":
      writer.line("__syncthreads();");
      define(`${name(statement.array)}[${text(statement.index)}]`);
      writer.line("__syncthreads();");
      return;
    case "subgroup": {
      const operand = statement.operand === undefined ? "" : `, ${statement.operand}u`;
      define(`subgroup_${statement.op.replace("-", "_")}(${text(statement.value)}${operand})`);
      return;
    }
    case "mma":
      define(`mma_m16n8k16<${statement.format}>(${[statement.a, statement.b, statement.c].map(text).join(", ")})`);
      return;
    case "matrix-load": {
      const load = statement.transposed ? "matrix_load_transposed" : "matrix_load";
      define(`${load}<${declaredType(statement)}>(${place(statement.array, statement.index)})`);
      return;
    }
    case "async-copy":
      writer.line(spellAsyncCopy(statement, place, text));
      return;
    case "async-commit":
      writer.line("async_commit();");
      return;
    case "await-previous":
      writer.line("await_previous();");
      return;
    case "release-next":
      writer.line("release_next();");
      return;
    case "prefetch":
      writer.line(`prefetch(${place(statement.buffer, statement.from)}, ${statement.count}u);`);
      return;
    case "async-wait":
      writer.line(`async_wait<${statement.pending}>();`);
      return;
    case "comment":
      writeComment(statement.text, writer);
      return;
    default:
      unreachable(statement);
  }
}

function writeStore(store: Store, spelling: Spelling, writer: Writer): void {
  const name = spelling.names.get(store.name)!;
  const text = (expression: Expression) => spell(expression, spelling);
  const line =
    store.space === "register"
      ? spellUpdate(`${name}[${text(store.index)}]`, store.value, text)
      : `store(${name}, ${text(store.index)}, ${text(store.value)});`;
  if (store.when === undefined) writer.line(line);
  else writer.block(`if (${text(store.when)}) {`, () => writer.line(line));
}

function writeFor(loop: For, spelling: Spelling, writer: Writer): void {
  const variable = spelling.names.get(loop.variable)!;
  const start = `${loop.type} ${variable} = ${spell(loop.start, spelling)}`;
  if (loop.unroll) writer.line("#pragma unroll");
  writer.block(
    `for (${start}; ${spell(loopCondition(loop), spelling)}; ${variable} += ${spell(loop.step, spelling)}) {`,
    () => writeBlock(loop.body, spelling, writer),
  );
}

function spellAsyncCopy(
  copy: AsyncCopy,
  place: (memory: string, index: Expression) => string,
  text: (expression: Expression) => string,
): string {
  const places = `${place(copy.array, copy.index)}, ${place(copy.buffer, copy.from)}`;
  return `async_copy(${places}${copy.when === undefined ? "" : `, ${text(copy.when)}`});`;
}
