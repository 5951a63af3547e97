/**
 * The warning about weights that were trained under another repetition or relation than the model states.
 *
 * The `.phd` file alone decides what runs. But when the folder's `config.json` has a `phd` block that says something else, one of the
 * two is probably the wrong one. The relations are compared by what they let queries see, not by their names.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Program } from "../compile.js";
import { usageDiagnostics } from "../diagnostics/catalogue-usage.js";
import { type Diagnostic, DiagnosticCollector } from "../diagnostics/diagnostic.js";
import { checkModel } from "../dsl/check/check-model.js";
import type { CheckedOp, LayersOp } from "../dsl/check/checked-model.js";
import { parseFile } from "../dsl/syntax/parse.js";
import { importModel } from "../import/import-model.js";
import { readConfig } from "../import/read-config.js";
import { evaluate } from "../ir/expr.js";
import { eachOp } from "../ir/graph/walk.js";
import { type Predicate, sees } from "../ir/relation/predicate.js";
import { printDiagnostics } from "./report.js";
import type { Terminal } from "./terminal.js";

/** Tokens that are compared with each other; enough for windows and chunks of the usual sizes. */
const comparedTokens = 240;

export async function warnAboutBlock(terminal: Terminal, folder: string, program: Program): Promise<void> {
  let text: string;
  try {
    text = await readFile(join(folder, "config.json"), "utf8");
  } catch {
    return;
  }
  printDiagnostics(terminal, disagreements(text, folder, program));
}

/** Empty where the configuration has no block, or one that import would refuse: then it says nothing that could disagree. */
export function disagreements(config: string, folder: string, program: Program): readonly Diagnostic[] {
  const file = { name: "config.json", text: config };
  const { phd } = readConfig(file);
  const { text } = importModel(file, folder);
  if (phd === undefined || text === undefined || !/"phd"\s*:/.test(config)) return [];
  const { copies } = program.graph;
  const warn = (key: string, block: string, model: string) =>
    usageDiagnostics.blockDisagrees({ folder, key, block, model });

  if (phd.repeat !== copies) return [warn("repeat", String(phd.repeat), String(copies))];
  const warnings: Diagnostic[] = [];
  const stated = predicateOf(text);
  const [attend] = program.graph.attends;
  if (stated !== undefined && attend !== undefined && !agree(stated, attend.predicate, copies)) {
    warnings.push(warn("variant", describe(phd.attend), "another relation"));
  }
  const turned = turnsCopies(program);
  if (copies > 1 && turned !== undefined && turned !== (phd.positions === "interleaved")) {
    warnings.push(
      warn("positions", phd.positions, turned ? "an index that depends on the copy" : "the position alone"),
    );
  }
  return warnings;
}

function describe(attend: { readonly kind: string; readonly window?: number; readonly chunk?: number }): string {
  const { kind, window, chunk } = attend;
  return [kind, window === undefined ? "" : `window ${window}`, chunk === undefined ? "" : `chunk ${chunk}`]
    .filter((word) => word !== "")
    .join(", ");
}

/** The relation of an imported model. */
function predicateOf(text: string): Predicate | undefined {
  const collector = new DiagnosticCollector();
  const tree = parseFile({ name: "config.json", text }, collector);
  const model = tree === undefined ? undefined : checkModel(tree, collector);
  const find = (ops: readonly (CheckedOp | LayersOp)[]): Predicate | undefined => {
    for (const op of ops) {
      if (op.kind === "attention") return op.attend.predicate;
      const inside = op.kind === "layers" ? find(op.classes.flatMap(({ body }) => body.ops)) : undefined;
      if (inside !== undefined) return inside;
    }
    return undefined;
  };
  return model === undefined ? undefined : find(model.body.ops);
}

function agree(left: Predicate, right: Predicate, copies: number): boolean {
  const positions = Math.max(2, Math.floor(comparedTokens / copies));
  for (let query = 0; query < positions * copies; query++) {
    const from = { pos: Math.floor(query / copies), copy: (query % copies) + 1 };
    for (let key = 0; key < (from.pos + 1) * copies; key++) {
      const to = { pos: Math.floor(key / copies), copy: (key % copies) + 1 };
      if (sees(left, from, to) !== sees(right, from, to)) return false;
    }
  }
  return true;
}

/** Whether RoPE tells the copies of a position apart; undefined for a model without RoPE. */
function turnsCopies({ graph }: Program): boolean | undefined {
  for (const op of eachOp(graph)) {
    const index = op.kind === "rope" ? op.index : op.kind === "store-keys" ? op.queryRope?.index : undefined;
    if (index !== undefined) return evaluate(index.byCopy, { copy: 1 }) !== evaluate(index.byCopy, { copy: 2 });
  }
  return undefined;
}
