/**
 * Rewriting: a rule looks at every operation in order and keeps, changes, replaces or drops it.
 *
 * Types are computed anew behind the rule, so a change at the top (tokens instead of positions, say) runs through the graph by itself.
 * Values keep their ids and names as long as an operation defines them.
 */
import { InternalError } from "../../diagnostics/diagnostic.js";
import { BlockBuilder, ValueTable } from "./builder.js";
import type { Block, Graph, Op, OpKind, Value, ValueId } from "./ops.js";
import { resultTypes } from "./types.js";
import { eachBlock, eachOp, mapOperands } from "./walk.js";

/**
 * What becomes of an operation: another operation with the same results (or itself); values that stand for its results from now on;
 * or nothing, when nobody reads the results any more.
 */
export type Replacement = Op | { readonly kind: "replaced"; readonly by: readonly ValueId[] } | undefined;

/** Uses of the operation's results read these values instead. */
export const replacedBy = (...by: ValueId[]): Replacement => ({ kind: "replaced", by });

/**
 * Sees each operation with its operands already renamed; the bodies of a loop are rewritten before the rule sees the loop.
 * `build` appends before the operation, in the same block.
 */
export type Rule = (op: Op, build: BlockBuilder) => Replacement;

/** Called at the end of the graph's own block with what it yields; may append operations and yields something else. */
export type Finish = (yields: readonly ValueId[], build: BlockBuilder) => readonly ValueId[];

export function rewriteGraph(graph: Graph, rule: Rule, finish: Finish = (yields) => yields): Graph {
  const values = new ValueTable();
  // All names and ids are taken before anything new is made, or a new value could clash with a later old one.
  for (const op of eachOp(graph)) for (const result of op.results) values.adopt(result, result.type);
  for (const block of eachBlock(graph)) for (const arg of block.args) values.adopt(arg, arg.type);
  const renamed = new Map<ValueId, ValueId>();
  const current = (value: ValueId): ValueId => {
    const next = renamed.get(value);
    return next === undefined ? value : current(next);
  };

  const rewriteBlock = (block: Block, close: Finish, outer?: BlockBuilder): Block => {
    const build = new BlockBuilder(values, outer);
    for (const old of block.ops) {
      build.defaultOrigin = old.origin;
      build.defaultRows = old.rows;
      let op = mapOperands(old, current);
      if (op.kind === "layers") {
        const types = op.inputs.map((input) => values.typeOf(input));
        const classes = op.classes.map(({ name, body }) => {
          const args = body.args.map((arg, index) => values.adopt(arg, types[index]!));
          return { name, body: rewriteBlock({ ...body, args }, (yields) => yields, build) };
        });
        op = { ...op, classes, results: op.results.map((result, index) => values.adopt(result, types[index]!)) };
      }
      const replacement = rule(op, build);
      if (replacement === undefined) continue;
      if (replacement.kind === "replaced") {
        if (replacement.by.length !== old.results.length)
          throw new InternalError(`${old.kind}: results left without a value`);
        for (const [index, result] of old.results.entries()) renamed.set(result.id, replacement.by[index]!);
      } else {
        build.append(replacement, adoptResults(replacement, values));
      }
    }
    build.defaultOrigin = undefined;
    build.defaultRows = undefined;
    const yields = close(block.yields.map(current), build);
    return { args: block.args, ops: build.ops, yields };
  };

  return { ...graph, body: rewriteBlock(graph.body, finish) };
}

/** A rule for operations of one kind; all others stay. */
export function rewriteOps<K extends OpKind>(
  graph: Graph,
  kind: K,
  rule: (op: Extract<Op, { kind: K }>, build: BlockBuilder) => Replacement,
): Graph {
  return rewriteGraph(graph, (op, build) => (op.kind === kind ? rule(op as Extract<Op, { kind: K }>, build) : op));
}

function adoptResults(op: Op, values: ValueTable): readonly Value[] {
  if (op.kind === "input" || op.kind === "weight") return op.results;
  const types = resultTypes(op, (value) => values.typeOf(value));
  return op.results.map((result, index) => values.adopt(result, types[index]!));
}
