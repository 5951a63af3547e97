/** Everything about a checkpoint that does not fit a model, with the place where the model declares each tensor. */

import type { Program } from "../compile.js";
import { usageDiagnostics } from "../diagnostics/catalogue-usage.js";
import { label } from "../diagnostics/define.js";
import { type Diagnostic, DiagnosticError } from "../diagnostics/diagnostic.js";
import { diagnosticOf } from "../diagnostics/from-error.js";
import { eachOp } from "../ir/graph/walk.js";
import type { Checkpoint } from "../runtime/checkpoint.js";
import type { WeightsError } from "../runtime/errors.js";
import { findMisfits, placementsOf, planWeights, tensorName } from "../runtime/packing.js";
import { unlimitedSizes } from "../runtime/shape.js";
import type { Span } from "../source/source-file.js";
import { printDiagnostics } from "./report.js";
import type { Terminal } from "./terminal.js";

/** Throws all misfits, one report for a tensor that is wrong alike in many layers. */
export function assertWeightsFit(program: Program, checkpoint: Checkpoint): void {
  const misfits = findMisfits(planWeights(program.manifest, unlimitedSizes), checkpoint);
  if (misfits.length === 0) return;
  const declared = declarations(program);
  const groups = new Map<string, WeightsError[]>();
  for (const misfit of misfits) {
    const template = declared.get(String(misfit.details["tensor"]))?.template ?? misfit.message;
    groups.set(`${misfit.code} ${template}`, [...(groups.get(`${misfit.code} ${template}`) ?? []), misfit]);
  }
  throw new DiagnosticError(
    [...groups.values()].map(([first, ...others]) => {
      const span = declared.get(String(first!.details["tensor"]))?.span;
      const labels = span === undefined ? [] : [label(span, "the model asks for it here")];
      return withCount(diagnosticOf(first!, ...labels), others.length);
    }),
  );
}

/** Tables that checkpoints of older libraries carry beside the weights; what they hold follows from the configuration. */
const derivedTensor = /\.rotary_emb\.inv_freq$/;

/** A warning where a checkpoint has tensors that the model leaves out: layers or biases that it lacks, perhaps. */
export function warnAboutUnread(terminal: Terminal, folder: string, program: Program, checkpoint: Checkpoint): void {
  const read = placementsOf(planWeights(program.manifest, unlimitedSizes), checkpoint);
  const unread = [...checkpoint.tensors.keys()].filter((name) => !read.has(name) && !derivedTensor.test(name));
  const [first] = unread;
  if (first === undefined) return;
  printDiagnostics(terminal, [usageDiagnostics.tensorsUnread({ folder, first, count: unread.length })]);
}

function withCount(diagnostic: Diagnostic, others: number): Diagnostic {
  if (others === 0) return diagnostic;
  const layers = others === 1 ? "one more layer" : `${others} more layers`;
  return { ...diagnostic, message: `${diagnostic.message} (and likewise in ${layers})` };
}

interface Declaration {
  readonly template: string;
  readonly span: Span | undefined;
}

/** Full tensor name to where the model names it. */
function declarations({ graph, manifest }: Program): ReadonlyMap<string, Declaration> {
  const declared = new Map<string, Declaration>();
  for (const op of eachOp(graph)) {
    if (op.kind !== "weight") continue;
    for (let layer = 0; layer < manifest.model.layers; layer++) {
      declared.set(tensorName(op.tensor, layer), { template: op.tensor, span: op.origin });
    }
  }
  return declared;
}
