import { describe, expect, it } from "vitest";
import { DiagnosticCollector } from "../../../src/diagnostics/diagnostic.js";
import type { Expression } from "../../../src/dsl/ast/nodes.js";
import { parseExpression, parseFile } from "../../../src/dsl/syntax/parse.js";

function expression(text: string): Expression {
  const diagnostics = new DiagnosticCollector();
  const parsed = parseExpression({ name: "text", text }, diagnostics);
  if (parsed === undefined) throw new Error(diagnostics.diagnostics[0]?.message);
  return parsed;
}

/** Fully parenthesised, so that the tree shows. */
function grouped(node: Expression): string {
  switch (node.kind) {
    case "binary":
      return `(${grouped(node.left)} ${node.operator} ${grouped(node.right)})`;
    case "unary":
      return `(${node.operator} ${grouped(node.operand)})`;
    case "conditional":
      return `(if ${grouped(node.condition)} then ${grouped(node.whenTrue)} else ${grouped(node.whenFalse)})`;
    case "call":
      return `${node.callee.text}[${node.args.map(({ name, value }) => (name ? `${name.text}: ` : "") + grouped(value)).join(", ")}]`;
    default:
      return node.span.file.text.slice(node.span.start, node.span.end);
  }
}

describe("expressions", () => {
  it.each([
    ["a or b and not c == d", "(a or (b and (not (c == d))))"],
    ["a - b - c", "((a - b) - c)"],
    ["a + b * c div d mod e", "(a + (((b * c) div d) mod e))"],
    ["-a ^ 2 * b", "((- (a ^ 2)) * b)"],
    ["theta ^ -2", "(theta ^ (- 2))"],
    ["not not a", "(not (not a))"],
    ["(a or b) and c", "((a or b) and c)"],
    ["q.pos - k.pos <= W", "((q.pos - k.pos) <= W)"],
    ["if a { b } else if c { d } else { e }", "(if a then b else (if c then d else e))"],
    ["f(x, eps = 1e-6, -1)", "f[x, eps: 1e-6, (- 1)]"],
    ["copy + repeat + index + weight", "(((copy + repeat) + index) + weight)"],
  ])("%s groups as %s", (text, expected) => {
    expect(grouped(expression(text))).toBe(expected);
  });

  it("know the text they were read from, parentheses included", () => {
    const { span } = expression("  (a + b)  ");
    expect([span.start, span.end]).toEqual([2, 9]);
  });

  it("tell tensors of the checkpoint from names", () => {
    expect(expression('weight "a" [n]')).toMatchObject({ kind: "weight", form: "weight" });
    expect(expression("weight")).toMatchObject({ kind: "name", text: "weight" });
  });
});

describe("files", () => {
  it("keep their comments, in order", () => {
    const text = "// first\nuse std.phd // second\n\nrule a(q, k) = // third\n  true\n";
    const file = parseFile({ name: "a.phd", text }, new DiagnosticCollector());
    expect(file?.comments.map((comment) => comment.text)).toEqual(["// first", "// second", "// third"]);
  });

  it("may end their lines as Windows does", () => {
    const text = "// first\r\nrule a(q, k) = true\r\n";
    const file = parseFile({ name: "a.phd", text }, new DiagnosticCollector());
    expect(file?.comments[0]?.text).toBe("// first");
    expect(file?.definitions).toHaveLength(1);
  });

  it("hold definitions and models in the order of the text", () => {
    const text =
      "rule b(q, k) = true\nfn f(x: [rows, n]) -> [rows, n] = x\nindex a(t) = t.pos\nmodel M { param n = 1 }";
    const file = parseFile({ name: "a.phd", text }, new DiagnosticCollector());
    expect(file?.definitions.map((definition) => definition.name.text)).toEqual(["b", "f", "a"]);
    expect(file?.models.map((model) => model.name.text)).toEqual(["M"]);
  });
});
