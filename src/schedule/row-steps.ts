/** Steps that work row by row: embedding, norms, elementwise expressions, copies. */
import { ceilDiv, eq, le, mul } from "../ir/expr.js";
import type { Embed, MapOp, NormOp, RowClass } from "../ir/graph/ops.js";
import { eachOp } from "../ir/graph/walk.js";
import type { FloatType } from "../ir/kernel/types.js";
import { embed, embedVector } from "../kernels/elementwise/embed.js";
import { type MapOptions, map } from "../kernels/elementwise/map.js";
import { norm } from "../kernels/elementwise/norm.js";
import type { Step } from "../runtime/manifest.js";
import type { DeferredNorm } from "./deferred-norms.js";
import { bindExpression } from "./element-operands.js";
import { type Copy, logitsBuffer } from "./place-values.js";
import {
  buffer,
  control,
  finishStep,
  flatWorkgroups,
  ofPreviousLayer,
  type Situation,
  stepName,
  type Workshop,
  weight,
} from "./step-builder.js";

/** Elements that one workgroup of the elementwise kernels takes. */
const perWorkgroup = 64;

export function embedStep(shop: Workshop, { phase }: Situation, op: Embed): Step {
  const { graph, kernels, weights, places, capabilities } = shop;
  // A table that the head multiplies with as well is kept once, as the head reads it.
  const shared = [...eachOp(graph)].some(
    (reader) => reader.kind === "fused-linear" && reader.weights.includes(op.table),
  );
  const table = weights.matrix([op.table], [], shared ? { layout: weights.sharedLayout } : {});
  const fragments = table.layout === "fragments" ? { fragments: true } : {};
  const options = {
    width: table.columns,
    element: table.element as FloatType,
    ...fragments,
    oneTokenEach: phase === "decode",
  };
  const vectors = table.columns / embedVector(options);
  return finishStep({
    name: stepName("embed", op),
    op,
    rows: op.rows ?? "input",
    choices: [
      {
        kernel: kernels.get("embed", options, embed),
        workgroups: flatWorkgroups(
          ceilDiv(mul(options.oneTokenEach ? "batch" : "row_count", vectors), perWorkgroup),
          capabilities.limits.maxWorkgroupsPerDimension,
        ),
      },
    ],
    bindings: { control, weight: weight(table.name), output: buffer(places.bufferOf(op.results[0]!.id)) },
    ...(table.splittable ? { partsOf: table.name } : { parameters: { part_base: 0, part_rows: table.rows } }),
  });
}

/** A norm that the last layer has left undone, in the rows that predict. */
export function undoneNormStep(shop: Workshop, situation: Situation, { norm, mostRows }: DeferredNorm): Step {
  const { bindings, ...step } = normStep(shop, situation, { ...norm, rows: "output" });
  const own = { ...step, bindings: ofPreviousLayer(bindings) };
  return mostRows === undefined ? own : { ...own, when: le("row_count", mostRows) };
}

/** A norm; in decode only in those rows in which it is not left to a product. */
export function normSteps(shop: Workshop, situation: Situation, op: NormOp): Step[] {
  const undone = situation.phase === "decode" ? shop.deferred.ofNorm(op) : undefined;
  if (undone === undefined) return [normStep(shop, situation, op)];
  if (undone.mostRows === undefined) return [];
  return [{ ...normStep(shop, situation, op), when: eq(le("row_count", undone.mostRows), 0) }];
}

function normStep(shop: Workshop, situation: Situation, op: NormOp): Step {
  const { kernels, weights, places, capabilities } = shop;
  const width = places.widthOf(op.input);
  const heads = op.heads ?? 1;
  const output = places.bufferOf(op.results[0]!.id);
  const { expression, operands, bindings } = bindExpression(shop, situation, op.epilogue, output, width);
  const options = {
    ...{ width, heads, epsilon: op.epsilon, weight: op.weight !== undefined },
    ...{ epilogue: expression, operands, capabilities },
    outputRows: rowsOf(output),
  };
  return finishStep({
    name: stepName("norm", op),
    op,
    rows: op.rows ?? "input",
    choices: [
      {
        kernel: kernels.get("norm", options, norm),
        workgroups: flatWorkgroups(mul("row_count", heads), capabilities.limits.maxWorkgroupsPerDimension),
      },
    ],
    bindings: {
      input: buffer(places.bufferOf(op.input)),
      ...(op.weight !== undefined && { norm_weight: weight(weights.vector([op.weight], situation.layers).name) }),
      output: buffer(output),
      ...bindings,
    },
  });
}

export function mapStep(shop: Workshop, situation: Situation, op: MapOp): Step {
  const { places } = shop;
  const [result] = op.results;
  const output = places.bufferOf(result!.id);
  const width = places.widthOf(result!.id);
  const { expression, operands, bindings } = bindExpression(shop, situation, op.expression, output, width);
  return finishStep({
    name: stepName("compute", op),
    op,
    rows: op.rows ?? "input",
    choices: [mapChoice(shop, { width, expression, operands, outputRows: rowsOf(output) })],
    bindings: { output: buffer(output), ...bindings },
  });
}

/** Moves a value to another buffer. */
export function copyStep(shop: Workshop, copy: Copy, rows: RowClass): Step {
  const { from, to, width } = copy;
  const options: MapOptions = {
    width,
    expression: { kind: "operand", name: "operand_0" },
    operands: [{ name: "operand_0", of: "element" }],
    outputRows: rowsOf(to),
  };
  return finishStep({
    name: `copy ${from}`,
    rows,
    choices: [mapChoice(shop, options)],
    bindings: { output: buffer(to), operand_0: buffer(from) },
  });
}

function mapChoice({ kernels, capabilities }: Workshop, options: MapOptions) {
  const groups = ceilDiv(mul("row_count", options.width), perWorkgroup);
  return {
    kernel: kernels.get("map", options, map),
    workgroups: flatWorkgroups(groups, capabilities.limits.maxWorkgroupsPerDimension),
  };
}

function rowsOf(output: string): "table" | "packed" {
  return output === logitsBuffer ? "packed" : "table";
}
