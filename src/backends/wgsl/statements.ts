import { InternalError, unreachable } from "../../diagnostics/diagnostic.js";
import type { Statement, Store } from "../../ir/kernel/statements.js";
import { type Writer, wrapWords } from "../../ir/kernel/writer.js";
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
    case "for": {
      const variable = name(statement.variable);
      const [start, end, step] = [statement.start, statement.end, statement.step].map((part) => spell(part, spelling));
      const condition = spell(
        {
          kind: "binary",
          type: "bool",
          op: "lt",
          left: { kind: "local", type: statement.type, name: statement.variable },
          right: statement.end,
        },
        spelling,
      );
      if (statement.unroll) throw new InternalError(`loop over ${variable} up to ${end} was not expanded`);
      writer.block(`for (var ${variable} = ${start}; ${condition}; ${variable} += ${step}) {`, () =>
        writeBlock(statement.body, spelling, writer),
      );
      return;
    }
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
      for (const line of wrapWords(statement.text, 110)) writer.line(`// ${line}`);
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

const subgroupFunctions = {
  add: "subgroupAdd",
  max: "subgroupMax",
  min: "subgroupMin",
  broadcast: "subgroupBroadcast",
  "shuffle-xor": "subgroupShuffleXor",
} as const;
