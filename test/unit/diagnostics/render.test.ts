import { describe, expect, it } from "vitest";
import type { Diagnostic } from "../../../src/diagnostics/diagnostic.js";
import { renderDiagnosticsJson } from "../../../src/diagnostics/render-json.js";
import { renderDiagnostic } from "../../../src/diagnostics/render-terminal.js";
import { nearestName } from "../../../src/diagnostics/suggest.js";

const file = { name: "model.phd", text: "first line\nattend q -> k when phd(q, k)\n" };
const other = { name: "std/phd.phd", text: "rule phd(q, k) = true\n" };

const diagnostic: Diagnostic = {
  code: "PHD0999",
  severity: "warning",
  message: "This bound never decides anything",
  labels: [
    { span: { file, start: 30, end: 33 }, text: "reaches back" },
    { span: { file, start: 18, end: 19 }, text: "from here" },
    { span: { file: other, start: 5, end: 8 }, text: "says so" },
  ],
  hint: "Drop it.",
};

describe("rendering diagnostics", () => {
  it("shows labels of one line together, and other files under headings of their own", () => {
    expect(renderDiagnostic(diagnostic)).toMatchInlineSnapshot(`
      "warning[PHD0999]: This bound never decides anything
        model.phd:2:20
      2 | attend q -> k when phd(q, k)
        |                    ^^^ reaches back
        |        - from here
        std/phd.phd:1:6
      1 | rule phd(q, k) = true
        |      --- says so
      Hint: Drop it."
    `);
  });

  it("colours only when asked to", () => {
    expect(renderDiagnostic(diagnostic)).not.toContain("\u001b");
    expect(renderDiagnostic(diagnostic, { color: true })).toContain("\u001b[33m");
  });

  it("gives machines lines and columns", () => {
    expect(JSON.parse(renderDiagnosticsJson([diagnostic])).diagnostics[0].places[0]).toMatchInlineSnapshot(`
      {
        "end": {
          "column": 23,
          "line": 2,
        },
        "file": "model.phd",
        "start": {
          "column": 20,
          "line": 2,
        },
        "text": "reaches back",
      }
    `);
  });

  it("renders a diagnostic without a place", () => {
    expect(renderDiagnostic({ ...diagnostic, labels: [] })).toMatchInlineSnapshot(`
      "warning[PHD0999]: This bound never decides anything
      Hint: Drop it."
    `);
  });
});

describe("suggesting names", () => {
  it("takes slips, and nothing further away", () => {
    const names = ["head_dim", "heads", "kv_heads", "W", "dim"];
    expect(nearestName("hed_dim", names)).toBe("head_dim");
    expect(nearestName("haeds", names)).toBe("heads");
    expect(nearestName("w", names)).toBe("W");
    expect(nearestName("x", names)).toBeUndefined();
    expect(nearestName("vocab", names)).toBeUndefined();
  });
});
