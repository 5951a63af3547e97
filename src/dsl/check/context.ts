/**
 * Where the checker stands: what is shared by the whole check, and what holds at one place of the text.
 *
 * The checker runs the model's text on symbolic values. A context is immutable; entering a block, a function or a layer makes a
 * new one. The state is what they all share: diagnostics, stated equations, the budget.
 */
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { syntaxDiagnostics } from "../../diagnostics/catalogue-syntax.js";
import { label } from "../../diagnostics/define.js";
import {
  type Diagnostic,
  type DiagnosticCollector,
  DiagnosticError,
  type Label,
} from "../../diagnostics/diagnostic.js";
import type { Term } from "../../ir/relation/predicate.js";
import type { Span } from "../../source/source-file.js";
import type { Definition, Expression } from "../ast/nodes.js";
import type { BodyBuilder } from "./body-builder.js";
import type { CheckedAttend } from "./checked-model.js";
import type { Definitions } from "./definitions.js";
import type { Scope } from "./scope.js";
import { Equations } from "./size.js";

/** Expressions evaluated per check. The largest example needs a few thousand; text that expands without bound meets this. */
const mostSteps = 200_000;

/** Expressions inside expressions, through calls of functions and rules. */
const deepestEvaluation = 400;

/** After this many reports the check stops: the rest mostly follow from the first, and looking for near names takes time. */
const mostReports = 50;

export class CheckState {
  readonly equations = new Equations();
  /** The layer loop, once there is one. */
  loop: Span | undefined;
  private readonly reported = new Set<string>();
  private steps = 0;
  private depth = 0;

  constructor(private readonly diagnostics: DiagnosticCollector) {}

  /** Reports once: a function that is called twice has its mistakes reported once. */
  report(diagnostic: Diagnostic): void {
    const place = diagnostic.labels[0]?.span;
    const key = `${diagnostic.code} ${place?.file.name} ${place?.start} ${place?.end}`;
    if (place !== undefined && this.reported.has(key)) return;
    if (this.reported.size >= mostReports)
      throw new DiagnosticError([shapeDiagnostics.tooManyErrors({ limit: mostReports })]);
    this.reported.add(key);
    this.diagnostics.add(diagnostic);
  }

  /** Runs one evaluation within the budget; leaves the check by DiagnosticError beyond it. */
  step<Result>(expression: Expression, evaluate: () => Result): Result {
    const place = label(expression.span);
    if (++this.steps > mostSteps) {
      throw new DiagnosticError([shapeDiagnostics.modelTooLarge({ what: "The model", limit: mostSteps }, place)]);
    }
    if (++this.depth > deepestEvaluation) {
      throw new DiagnosticError([syntaxDiagnostics.nestedTooDeeply({ limit: deepestEvaluation }, place)]);
    }
    try {
      return evaluate();
    } finally {
      this.depth--;
    }
  }
}

/** A call that is being expanded. */
export interface CallSite {
  readonly definition: Definition;
  readonly span: Span;
}

/** One layer stands for all layers that take the same branches. */
export interface LayerState {
  readonly count: number;
  readonly representative: number;
  /** The conditions met so far, each with its value in every layer and its text. */
  readonly decisions: { readonly values: readonly boolean[]; readonly text: string }[];
  /** Set by the first attention of the layer. */
  attention?: Span;
}

/** `rotate t by …, pair i at …`, ready to be applied to a head of any width. */
export interface Rotation {
  readonly index: Term;
  readonly span: Span;
  /** Radians per index for the pairs of a head; undefined where they could not be computed, which has been reported. */
  readonly frequencies: (width: number) => readonly number[] | undefined;
}

export interface Context {
  readonly state: CheckState;
  /** What can be called here. */
  readonly definitions: Definitions;
  readonly scope: Scope;
  /** Where operations go; absent where only scalars make sense. */
  readonly body?: BodyBuilder;
  /** The prefixes of the enclosing `within`, each ending in a dot. */
  readonly prefix: string;
  readonly attend?: CheckedAttend;
  readonly rotation?: Rotation;
  readonly layer?: LayerState;
  readonly calls: readonly CallSite[];
}

/** Labels that lead from inside a function to the text of the model that called it. */
export function callLabels(context: Context): Label[] {
  const outermost = context.calls[0];
  return outermost === undefined
    ? []
    : [label(outermost.span, `in this call of \`${outermost.definition.name.text}\``)];
}
