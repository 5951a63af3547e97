/** What a model may say, the checker accepts, and no kernel can do: reported at its text, by the first pass that knows kernels. */
import { describe, expect, it } from "vitest";
import { DiagnosticError } from "../../../src/diagnostics/diagnostic.js";
import { renderDiagnostics } from "../../../src/diagnostics/render-terminal.js";
import { runPasses } from "../../../src/passes/pass.js";
import { graphPipeline } from "../../../src/passes/pipeline.js";
import { graphOf, modelText } from "../dsl/support.js";

function reportOf(layer: string): string {
  try {
    runPasses(graphPipeline, graphOf(modelText({ layer })));
    return "no report";
  } catch (error) {
    if (!(error instanceof DiagnosticError)) throw error;
    return renderDiagnostics(error.diagnostics);
  }
}

describe("what no kernel can do", () => {
  it("arithmetic on a weight matrix", () => {
    expect(reportOf('x += linear(x, weight "a" [dim, dim] * 0.5)')).toMatchInlineSnapshot(`
      "error[PHD0220]: This works on weights alone, and would have to be computed before the model runs
        model.phd:13:22
      13 |       x += linear(x, weight "a" [dim, dim] * 0.5)
         |                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^
      Hint: Change what comes out of \`linear\` or \`embed\` instead."
    `);
    expect(reportOf('x += linear(x, linear(weight "a" [dim, dim], weight "b" [dim, dim]))')).toMatchInlineSnapshot(`
      "error[PHD0220]: This works on weights alone, and would have to be computed before the model runs
        model.phd:13:22
      13 |       x += linear(x, linear(weight "a" [dim, dim], weight "b" [dim, dim]))
         |                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      Hint: Change what comes out of \`linear\` or \`embed\` instead."
    `);
    expect(reportOf('x += linear(x, merge(split(weight "a" [dim, dim], 2)))')).toMatchInlineSnapshot(`"no report"`);
    expect(reportOf('x = rms_norm(x, rms_norm(weight "a" [dim]))')).toMatchInlineSnapshot(`
      "error[PHD0220]: This works on weights alone, and would have to be computed before the model runs
        model.phd:13:23
      13 |       x = rms_norm(x, rms_norm(weight "a" [dim]))
         |                       ^^^^^^^^^^^^^^^^^^^^^^^^^^
      Hint: Change what comes out of \`linear\` or \`embed\` instead."
    `);
  });

  it("arithmetic on a vector that grows without bound", () => {
    const doubled = Array.from({ length: 40 }, (_, i) => `let w${i + 1} = w${i} * w${i}`);
    expect(
      reportOf(['let w0 = weight "a" [dim]', ...doubled, "x = rms_norm(x, w40)"].join("\n")),
    ).toMatchInlineSnapshot(`
      "error[PHD0218]: Arithmetic on a weight expands to more than 64 parts
        model.phd:19:10
      19 | let w6 = w5 * w5
         |          ^^^^^^^
      Hint: Simplify the definitions, so that they are not expanded over and over."
    `);
  });

  it("a product over single heads", () => {
    expect(reportOf('x += merge(linear(split(x, 2), weight "a" [dim div 2, dim div 2]))')).toMatchInlineSnapshot(`
      "error[PHD0221]: \`linear\` works on rows, not on single heads
        model.phd:13:18
      13 |       x += merge(linear(split(x, 2), weight "a" [dim div 2, dim div 2]))
         |                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      Hint: \`merge\` the heads first."
    `);
  });

  it("but a vector may be changed", () => {
    expect(reportOf('x = rms_norm(x, 1 + weight "a" [dim])')).toBe("no report");
    expect(reportOf('x += linear(x, weight "a" [dim, dim], -(weight "b" [dim]))')).toBe("no report");
  });

  it("and long chains of elementwise work only become several operations", () => {
    const squares = Array.from({ length: 40 }, () => "x = x * x + x");
    expect(reportOf(squares.join("\n"))).toBe("no report");
  });
});
