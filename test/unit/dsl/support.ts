/** Helpers of the language's tests. */
import { readdirSync, readFileSync } from "node:fs";
import type { Diagnostic } from "../../../src/diagnostics/diagnostic.js";
import { DiagnosticCollector } from "../../../src/diagnostics/diagnostic.js";
import { renderDiagnostics } from "../../../src/diagnostics/render-terminal.js";
import { type CheckOptions, checkModel } from "../../../src/dsl/check/check-model.js";
import type { CheckedModel } from "../../../src/dsl/check/checked-model.js";
import { parseFile } from "../../../src/dsl/syntax/parse.js";
import type { Graph } from "../../../src/ir/graph/ops.js";
import { lowerModel } from "../../../src/lower/lower-model.js";

export interface Checked {
  readonly model: CheckedModel | undefined;
  readonly diagnostics: readonly Diagnostic[];
}

export function check(text: string, options: CheckOptions = {}, name = "model.phd"): Checked {
  const diagnostics = new DiagnosticCollector();
  const file = parseFile({ name, text }, diagnostics);
  const model = file === undefined ? undefined : checkModel(file, diagnostics, options);
  return { model, diagnostics: diagnostics.diagnostics };
}

/** The rendered diagnostics of a text; empty where there are none. */
export function reportsOf(text: string, options: CheckOptions = {}): string {
  return renderDiagnostics(check(text, options).diagnostics);
}

/** The graph of a text that must be free of errors. */
export function graphOf(text: string, options: CheckOptions = {}): Graph {
  const { model } = check(text, options);
  if (model === undefined) throw new Error(reportsOf(text, options));
  return lowerModel(model);
}

/** A small complete model with gaps to fill in: items of the model, statements of a layer, and what stands above the model. */
export function modelText(parts: {
  readonly above?: string;
  readonly params?: string;
  readonly items?: string;
  readonly attend?: string;
  readonly layer?: string;
  readonly predict?: string;
}): string {
  const { above = "", params = "", items = "", attend = "phd(q, k)", layer = "", predict } = parts;
  return `use std.phd
${above}
model Tiny {
  param vocab = 32, layers = 4, dim = 16, heads = 2, head_dim = 8, K = 2${params}
  repeat K
  attend q -> k when ${attend}
  rotate t by t.pos
  ${items}
  forward(ids: [positions] int) -> [positions, vocab] {
    var x = repeat(embed(ids, weight "embed" [vocab, dim]))
    for l in layers within "layers.{l}" {
      let q = split(linear(x, weight "q" [heads * head_dim, dim]), heads)
      ${layer}
      x += linear(merge(attention(rope(q), rope(q), q)), weight "o" [dim, heads * head_dim])
    }
    ${predict ?? 'predict copy K: linear(x, weight "head" [vocab, dim])'}
  }
}
`;
}

/** Every `.phd` text that comes with phdc. */
export function bundledTexts(): { readonly name: string; readonly text: string }[] {
  return ["std", "examples"].flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => name.endsWith(".phd"))
      .sort()
      .map((name) => ({ name: `${folder}/${name}`, text: readFileSync(`${folder}/${name}`, "utf8") })),
  );
}
