/**
 * The graph as text: dumps, goldens and bug reports share it, and `parseGraph` reads it back to the same graph.
 *
 *     graph "phd-2" {
 *       copies 2 predict 2
 *       attend 0 = k.copy == 1 and k.pos < q.pos or k.pos == q.pos and k.copy <= q.copy
 *       %ids = input : int[positions]
 *       %table = weight {tensor = "model.embed_tokens.weight"} : float[65, 128]
 *       %x = embed %ids, %table : float[positions, 128]
 *       …
 *       yield %logits
 *     }
 */
import type { Span } from "../../source/source-file.js";
import type { Attend, Block, Graph, Layers, Op, Value, ValueId } from "./ops.js";
import { printExprText } from "./text/expr-text.js";
import { type AnyOpSyntax, opSyntax, type PrintScope } from "./text/fields.js";
import { printPredicateText } from "./text/predicate-text.js";
import { printNumber } from "./text/reader.js";
import { describeType } from "./types.js";
import { eachBlock } from "./walk.js";

export interface PrintOptions {
  /** Says behind every operation where in the source it came from. */
  readonly spans?: boolean;
}

export function printGraph(graph: Graph, options: PrintOptions = {}): string {
  return new GraphPrinter(graph, options).print();
}

class GraphPrinter implements PrintScope {
  private readonly lines: string[] = [];
  private readonly names = new Map<ValueId, string>();
  /** Frequency tables are long and shared, so they are written once, by name. */
  private readonly tables = new Map<string, string>();

  constructor(
    private readonly graph: Graph,
    private readonly options: PrintOptions,
  ) {
    for (const block of eachBlock(graph)) {
      for (const { id, name } of [...block.args, ...block.ops.flatMap((op) => op.results)]) this.names.set(id, name);
    }
  }

  nameOf(value: ValueId): string {
    return `%${this.names.get(value) ?? `undefined_${value}`}`;
  }

  tableOf(frequencies: readonly number[]): string {
    const key = frequencies.map(printNumber).join(", ");
    const name = this.tables.get(key) ?? `@frequencies_${this.tables.size}`;
    this.tables.set(key, name);
    return name;
  }

  print(): string {
    const { graph } = this;
    const body = this.capture(() => this.printBlock(graph.body, "  "));
    this.lines.push(`graph ${JSON.stringify(graph.name)}${this.location(graph.origin)} {`);
    const parameters = Object.entries(graph.parameters).map(
      ([name, value]) => `${JSON.stringify(name)} = ${printNumber(value)}`,
    );
    if (parameters.length > 0) this.lines.push(`  parameters {${parameters.join(", ")}}`);
    this.lines.push(`  copies ${graph.copies} predict ${graph.predictCopy}`);
    for (const { name, firstCopy, lastCopy, firstPos, endPos } of graph.groups ?? []) {
      const from = firstPos === undefined ? "" : ` from ${firstPos}`;
      const before = endPos === undefined ? "" : ` before ${endPos}`;
      this.lines.push(`  group ${JSON.stringify(name)} = copies ${firstCopy} .. ${lastCopy}${from}${before}`);
    }
    for (const [index, attend] of graph.attends.entries()) this.printAttend(index, attend);
    for (const [list, name] of this.tables) this.lines.push(`  frequencies ${name} = [${list}]`);
    this.lines.push(...body, "}", "");
    return this.lines.join("\n");
  }

  /** The lines that `work` prints, instead of printing them. */
  private capture(work: () => void): string[] {
    const start = this.lines.length;
    work();
    return this.lines.splice(start);
  }

  private printAttend(index: number, { predicate, stated, parts, origin }: Attend): void {
    this.lines.push(`  attend ${index} = ${printPredicateText(predicate)}${this.location(origin)}`);
    if (stated !== undefined) this.lines.push(`    stated ${printPredicateText(stated)}`);
    for (const { group, density, lo, hi } of parts ?? []) {
      const bounds = `${printExprText(lo)} .. ${printExprText(hi)}`;
      this.lines.push(`    part ${JSON.stringify(group)} ${density} ${bounds}`);
    }
  }

  private printBlock(block: Block, indent: string): void {
    for (const op of block.ops) this.printOp(op, indent);
    this.lines.push(`${indent}yield ${block.yields.map((value) => this.nameOf(value)).join(", ")}`);
  }

  private printOp(op: Op, indent: string): void {
    const results = op.results.map(({ name }) => `%${name}`).join(", ");
    const types = op.results.map(({ type }) => describeType(type)).join(", ");
    const end = ` : ${types}${op.rows === undefined ? "" : ` on ${op.rows}`}${this.location(op.origin)}`;
    if (op.kind === "layers") {
      this.printLayers(op, `${indent}${results} = `, end, indent);
      return;
    }
    const syntax: AnyOpSyntax = opSyntax[op.kind];
    const operands = syntax.operands.map((field) => this.nameOf((op as unknown as Record<string, ValueId>)[field]!));
    const attributes = syntax.attributes.print(op, this);
    const words = [op.kind, operands.join(", "), attributes === "{}" ? "" : attributes].filter((word) => word !== "");
    this.lines.push(`${indent}${results} = ${words.join(" ")}${end}`);
  }

  private printLayers(op: Layers, start: string, end: string, indent: string): void {
    const inputs = op.inputs.map((input) => this.nameOf(input)).join(", ");
    this.lines.push(`${start}layers ${op.count} (${inputs}) {`);
    for (const [index, { name, body }] of op.classes.entries()) {
      const members = op.classOf.flatMap((member, layer) => (member === index ? [layer] : []));
      const args = body.args.map((arg) => this.declare(arg)).join(", ");
      this.lines.push(`${indent}  class ${JSON.stringify(name)} [${members.join(", ")}] (${args}) {`);
      this.printBlock(body, `${indent}    `);
      this.lines.push(`${indent}  }`);
    }
    this.lines.push(`${indent}}${end}`);
  }

  private declare({ name, type }: Value): string {
    return `%${name} : ${describeType(type)}`;
  }

  private location(span: Span | undefined): string {
    if (span === undefined || this.options.spans !== true) return "";
    return ` loc(${JSON.stringify(span.file.name)}, ${span.start}, ${span.end})`;
  }
}
