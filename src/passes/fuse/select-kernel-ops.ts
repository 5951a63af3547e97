import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import { DiagnosticError } from "../../diagnostics/diagnostic.js";
import type { BlockBuilder } from "../../ir/graph/builder.js";
import type { ElementExpr, Embed, Op, ValueId } from "../../ir/graph/ops.js";
import { type Replacement, replacedBy, rewriteGraph } from "../../ir/graph/rewrite.js";
import { hasRows } from "../../ir/graph/types.js";
import { definePass } from "../pass.js";
import { dropUnusedOps } from "../simplify/drop-unused-ops.js";
import { accumulator, largestEpilogue, operand, sizeOf } from "./epilogues.js";

/**
 * Says every operation in words that a kernel family carries out, one for one.
 *
 * Before: `linear`, `rms-norm`, `rope`, `attention`, elementwise operations; heads are a dimension.
 * After:  `fused-linear`, `norm`, `rotate`, `store-keys` + `cached-attention`, `map`; heads are runs of columns, so splitting and merging
 *         them is nothing; embeddings are repeated by the row table.
 *
 * Every graph can be said in these words; the fusions that follow only make it cheaper, so none of them has to find its pattern.
 * Arithmetic on weight vectors (`1 + w`) moves into the epilogues that use them.
 */
export const selectKernelOps = definePass(
  "select-kernel-ops",
  (graph) => {
    const embeds = new Map<ValueId, Embed>();
    const vectors = new Map<ValueId, ElementExpr>();
    const translated = rewriteGraph(graph, (op, build) => translate(op, build, embeds, vectors));
    return dropUnusedOps.run(translated);
  },
  "fuse",
);

function translate(
  op: Op,
  build: BlockBuilder,
  embeds: Map<ValueId, Embed>,
  vectors: Map<ValueId, ElementExpr>,
): Replacement {
  const common = { results: op.results, origin: op.origin, rows: op.rows };
  /** Heads of the value before they became columns; the rule still sees the old type of the result. */
  const [, headsOrWidth, headWidth] = op.results[0]!.type.shape;
  const element = (value: ValueId): ElementExpr => vectors.get(value) ?? operand(value);
  /** A weight that arithmetic has changed cannot be given to a norm or a product; the epilogue applies it. */
  const plain = (value: ValueId | undefined) => (value !== undefined && !vectors.has(value) ? value : undefined);
  const changed = (value: ValueId | undefined) => (value === undefined ? undefined : vectors.get(value));

  if (!canComputeOn(op)) throw new DiagnosticError([shapeDiagnostics.weightArithmetic({}, ...place(op))]);
  switch (op.kind) {
    case "embed":
      embeds.set(op.results[0]!.id, op);
      return op;
    case "repeat-tokens": {
      const { ids, table } = embeds.get(op.input)!;
      return { ...common, kind: "embed", ids, table, copies: op.copies };
    }
    case "split-heads":
    case "merge-heads":
      return replacedBy(op.input);
    case "linear": {
      if (headWidth !== undefined) throw new DiagnosticError([shapeDiagnostics.productOverHeads({}, ...place(op))]);
      const bias = changed(op.bias);
      return {
        ...common,
        kind: "fused-linear",
        input: op.input,
        weights: [op.weight],
        biases: [plain(op.bias)],
        combine: "concatenate",
        epilogue: bias === undefined ? accumulator(0) : binary("add", accumulator(0), bias),
      };
    }
    case "rms-norm": {
      const weight = changed(op.weight);
      return {
        ...common,
        kind: "norm",
        input: op.input,
        epsilon: op.epsilon,
        ...(headWidth !== undefined && { heads: Number(headsOrWidth) }),
        ...(plain(op.weight) !== undefined && { weight: plain(op.weight) }),
        epilogue: weight === undefined ? accumulator(0) : binary("multiply", accumulator(0), weight),
      };
    }
    case "rope": {
      const { frequencies, index, amplitude, input } = op;
      return { ...common, kind: "rotate", input, heads: Number(headsOrWidth), frequencies, index, amplitude };
    }
    case "attention": {
      const width = Number(headWidth);
      const heads = Number(headsOrWidth);
      const kvHeads = Number(build.typeOf(op.key).shape[1]) / width;
      const query = build.add(
        {
          kind: "store-keys",
          query: { value: op.query, offset: 0, heads },
          key: { value: op.key, offset: 0, heads: kvHeads },
          value: { value: op.value, offset: 0, heads: kvHeads },
          width,
          attend: op.attend,
          rows: "input",
        },
        "query",
      );
      return { ...common, kind: "cached-attention", query, heads, kvHeads, width, attend: op.attend, scale: op.scale };
    }
    case "unary":
    case "binary":
    case "scale": {
      const expression: ElementExpr =
        op.kind === "binary"
          ? binary(op.function, element(op.left), element(op.right))
          : op.kind === "unary"
            ? { kind: "unary", function: op.function, input: element(op.input) }
            : { kind: "scale", input: element(op.input), factor: op.factor, offset: op.offset };
      if (hasRows(op.results[0]!.type)) return { ...common, kind: "map", expression };
      if (sizeOf(expression) > largestEpilogue) throw tooLarge(op);
      vectors.set(op.results[0]!.id, expression);
      return undefined;
    }
    default:
      return op;
  }
}

/** Kernels compute rows; of weights alone only vectors can be changed, by whoever reads them. */
function canComputeOn(op: Op): boolean {
  const { type } = op.results[0]!;
  if (op.kind === "input" || op.kind === "weight" || hasRows(type)) return true;
  return (op.kind === "unary" || op.kind === "binary" || op.kind === "scale") && type.shape.length === 1;
}

const place = (op: Op) => (op.origin === undefined ? [] : [label(op.origin)]);

function tooLarge(op: Op): DiagnosticError {
  const report = { what: "Arithmetic on a weight", limit: largestEpilogue };
  return new DiagnosticError([shapeDiagnostics.modelTooLarge(report, ...place(op))]);
}

function binary(name: "add" | "subtract" | "multiply", left: ElementExpr, right: ElementExpr): ElementExpr {
  return { kind: "binary", function: name, left, right };
}
