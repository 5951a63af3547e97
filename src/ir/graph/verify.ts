/**
 * Says what is legal: SSA form, types, regions, and what each stage promises.
 *
 * The runner verifies after every pass. A graph that breaks a rule is a bug of the compiler, hence InternalError; all broken rules
 * are listed, since one mistake often shows in several places.
 */
import { InternalError } from "../../diagnostics/diagnostic.js";
import { partitionFault } from "../../runtime/key-group.js";
import type { Block, Graph, Layers, Op, OpKind, RowClass, TensorType, Value, ValueId } from "./ops.js";
import { describeType, resultTypes, sameType } from "./types.js";
import { bodiesOf, eachOp, eachOperand } from "./walk.js";

/** What a pass can promise about the graph it returns; later passes keep it. See the table in `ops.ts`. */
export type Guarantee = "repeat-tokens" | "group-tokens" | "derive-phases" | "fuse";

const highLevelOnly: ReadonlySet<OpKind> = new Set([
  "repeat-tokens",
  "linear",
  "rms-norm",
  "split-heads",
  "merge-heads",
  "rope",
  "attention",
  "unary",
  "binary",
  "scale",
]);
const fusedOnly: ReadonlySet<OpKind> = new Set([
  "fused-linear",
  "norm",
  "map",
  "rotate",
  "store-keys",
  "cached-attention",
]);

/** Throws when the graph breaks a rule that always holds, or one of these guarantees. `after` says in the message what made it. */
export function verifyGraph(graph: Graph, guarantees: Iterable<Guarantee> = [], after = "it was built"): void {
  const problems = graphProblems(graph, guarantees);
  if (problems.length > 0) {
    throw new InternalError(`graph ${graph.name} is not valid after ${after}:\n  ${problems.join("\n  ")}`);
  }
}

/** Every broken rule, one line each. */
export function graphProblems(graph: Graph, guarantees: Iterable<Guarantee> = []): string[] {
  const promised = new Set(guarantees);
  const problems: string[] = [];
  checkValues(graph, problems);
  // The other checks are about graphs in SSA form and would stumble without it.
  if (problems.length > 0) return problems;
  checkRegions(graph, problems);
  if (promised.has("repeat-tokens")) checkAxes(graph, problems);
  if (promised.has("group-tokens")) checkGroups(graph, problems);
  if (promised.has("derive-phases")) checkRows(graph, problems);
  checkKinds(graph, promised.has("fuse"), problems);
  return problems;
}

function describe(op: Op): string {
  return `${op.results.map(({ name }) => `%${name}`).join(", ")} = ${op.kind}`;
}

/** Every value is defined once, before its uses and in their scope, under a name of its own, with the type its operands give it. */
function checkValues(graph: Graph, problems: string[]): void {
  const ids = new Set<ValueId>();
  const names = new Set<string>();
  const define = (value: Value, scope: Map<ValueId, TensorType>) => {
    if (ids.has(value.id)) problems.push(`%${value.name}: id ${value.id} is defined twice`);
    if (names.has(value.name)) problems.push(`%${value.name} is the name of two values`);
    ids.add(value.id);
    names.add(value.name);
    scope.set(value.id, value.type);
  };
  const checkBlock = (block: Block, outer: ReadonlyMap<ValueId, TensorType>): void => {
    const scope = new Map(outer);
    for (const arg of block.args) define(arg, scope);
    for (const op of block.ops) {
      const missing = [...eachOperand(op)].filter((operand) => !scope.has(operand));
      if (missing.length > 0) problems.push(`${describe(op)} reads ${missing.join(", ")}, which is not defined here`);
      else checkTypes(op, scope, problems);
      for (const body of bodiesOf(op)) checkBlock(body, scope);
      for (const result of op.results) define(result, scope);
    }
    for (const value of block.yields)
      if (!scope.has(value)) problems.push(`yields ${value}, which is not defined here`);
  };
  checkBlock(graph.body, new Map());
}

function checkTypes(op: Op, scope: ReadonlyMap<ValueId, TensorType>, problems: string[]): void {
  if (op.kind === "input" || op.kind === "weight") {
    if (op.results.length !== 1) problems.push(`${describe(op)} defines ${op.results.length} values`);
    return;
  }
  try {
    const types = resultTypes(op, (value) => scope.get(value)!);
    if (types.length !== op.results.length) {
      problems.push(`${describe(op)} defines ${op.results.length} values instead of ${types.length}`);
      return;
    }
    for (const [index, type] of types.entries()) {
      const result = op.results[index]!;
      if (!sameType(type, result.type)) {
        problems.push(`%${result.name} is ${describeType(result.type)}, but ${op.kind} gives ${describeType(type)}`);
      }
    }
  } catch (error) {
    if (!(error instanceof InternalError)) throw error;
    problems.push(`${describe(op)}: ${error.message}`);
  }
}

/** One layer loop at most; attention only in its bodies, once in each; ids only at the top. */
function checkRegions(graph: Graph, problems: string[]): void {
  if (graph.body.args.length > 0) problems.push("the graph takes its input from `input`, not from arguments");
  const loops = graph.body.ops.filter((op) => op.kind === "layers");
  if (loops.length > 1) problems.push("there are two layer loops");
  for (const op of graph.body.ops) {
    if (isAttention(op)) problems.push(`${describe(op)} stands outside the layers, where no cache belongs to it`);
  }
  for (const loop of loops) checkLoop(loop, problems);
  for (const op of eachOp(graph)) {
    if ((isAttention(op) || op.kind === "store-keys") && graph.attends[op.attend] === undefined) {
      problems.push(`${describe(op)} names attend ${op.attend}, which does not exist`);
    }
  }
}

const isAttention = (op: Op) => op.kind === "attention" || op.kind === "cached-attention";

function checkLoop(loop: Layers, problems: string[]): void {
  if (loop.classOf.length !== loop.count) problems.push(`${loop.count} layers, ${loop.classOf.length} classes named`);
  for (const index of loop.classOf) {
    if (loop.classes[index] === undefined) problems.push(`layer class ${index} does not exist`);
  }
  for (const { name, body } of loop.classes) {
    const values = new Map<ValueId, TensorType>();
    for (const { id, type } of [...body.args, ...body.ops.flatMap((op) => op.results)]) values.set(id, type);
    if (body.args.length !== loop.results.length || body.yields.length !== loop.results.length) {
      problems.push(
        `${name}: carries ${body.args.length} values in and ${body.yields.length} out of ${loop.results.length}`,
      );
      continue;
    }
    for (const [index, result] of loop.results.entries()) {
      const inside = [body.args[index]!.type, values.get(body.yields[index]!) ?? result.type];
      for (const type of inside) {
        if (!sameType(type, result.type)) {
          problems.push(
            `${name}: %${result.name} is ${describeType(type)} inside, ${describeType(result.type)} outside`,
          );
        }
      }
    }
    if (body.ops.filter(isAttention).length > 1) problems.push(`${name}: a layer attends once`);
    for (const op of body.ops) {
      if (op.kind === "layers" || op.kind === "input" || op.kind === "repeat-tokens" || op.kind === "select-copy") {
        problems.push(`${name}: ${op.kind} cannot stand in a layer`);
      }
    }
  }
}

/** `repeat-tokens` directly follows an embedding; everything in the layers stands over tokens. */
function checkAxes(graph: Graph, problems: string[]): void {
  const producers = new Map(graph.body.ops.flatMap((op) => op.results.map(({ id }) => [id, op] as const)));
  const readsRepeated = new Set(graph.body.ops.filter((op) => op.kind === "repeat-tokens").map((op) => op.input));
  for (const op of graph.body.ops) {
    if (op.kind === "repeat-tokens") {
      if (producers.get(op.input)?.kind !== "embed") problems.push(`${describe(op)} does not follow an embedding`);
      if (op.copies !== graph.copies) problems.push(`${describe(op)} makes ${op.copies} copies of ${graph.copies}`);
    } else if (op.kind === "select-copy" && op.copy !== graph.predictCopy) {
      problems.push(`${describe(op)} keeps copy ${op.copy}, but copy ${graph.predictCopy} predicts`);
    } else if (op.kind !== "select-copy") {
      for (const operand of eachOperand(op)) {
        if (readsRepeated.has(operand)) problems.push(`${describe(op)} reads an embedding before it is repeated`);
      }
    }
    if (op.kind === "layers" && op.results.some(({ type }) => type.shape[0] !== "tokens")) {
      problems.push(`${describe(op)} carries values that do not stand over tokens`);
    }
  }
}

/** The groups part the tokens, and every attend says what it sees of each. */
function checkGroups(graph: Graph, problems: string[]): void {
  const groups = graph.groups ?? [];
  const fault = partitionFault(groups, graph.copies);
  if (fault !== undefined) problems.push(fault);
  for (const [index, { parts }] of graph.attends.entries()) {
    const named = parts?.map(({ group }) => group).join();
    if (named !== groups.map(({ name }) => name).join())
      problems.push(`attend ${index} has parts for ${named ?? "nothing"}`);
  }
}

const narrowness: Record<RowClass, number> = { input: 0, query: 1, output: 2 };

/** Every operation says which rows need it, and computes no row its operands lack. */
function checkRows(graph: Graph, problems: string[]): void {
  const checkBlock = (block: Block, leaves: RowClass) => {
    // What a layer takes from outside exists in all rows that enter the layer, and needs no entry.
    const defined = new Map<ValueId, RowClass>();
    for (const op of block.ops) {
      if (op.kind === "weight" || op.kind === "input") continue;
      for (const body of bodiesOf(op)) checkBlock(body, "query");
      if (op.rows === undefined) {
        problems.push(`${describe(op)} does not say which rows need it`);
        continue;
      }
      for (const operand of eachOperand(op)) {
        const has = defined.get(operand);
        const lacks = has !== undefined && narrowness[has] > narrowness[op.rows];
        // A concatenation computes some columns in fewer rows; those that read them say which rows they need themselves.
        if (lacks && op.kind !== "store-keys") {
          problems.push(`${describe(op)} is needed in ${op.rows} rows, but an operand exists in ${has} rows only`);
        }
      }
      const resultRows: RowClass = op.kind === "store-keys" ? "query" : op.kind === "layers" ? "output" : op.rows;
      for (const { id } of op.results) defined.set(id, resultRows);
    }
    for (const value of block.yields) {
      if (narrowness[defined.get(value) ?? "input"] > narrowness[leaves]) problems.push(`a yield lacks ${leaves} rows`);
    }
  };
  checkBlock(graph.body, "output");
}

/** Before fuse no fused operation, afterwards nothing else; and keys are stored before they are read. */
function checkKinds(graph: Graph, fused: boolean, problems: string[]): void {
  for (const op of eachOp(graph)) {
    if (fused ? highLevelOnly.has(op.kind) : fusedOnly.has(op.kind)) {
      problems.push(fused ? `${describe(op)} is left after fuse` : `${describe(op)} comes before fuse`);
    }
  }
  for (const block of graph.body.ops.flatMap(bodiesOf)) {
    let stored: Op | undefined;
    for (const op of block.ops) {
      if (op.kind === "store-keys") stored = op;
      if (op.kind === "cached-attention") {
        const fits =
          stored?.kind === "store-keys" &&
          stored.results[0]!.id === op.query &&
          stored.attend === op.attend &&
          stored.width === op.width &&
          stored.key.heads === op.kvHeads;
        if (!fits) problems.push(`${describe(op)} reads keys that no store-keys before it has written`);
      }
    }
  }
}
