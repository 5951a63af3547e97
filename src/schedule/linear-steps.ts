/** Steps of a fused product: which kernel for how many rows, and which columns in which rows. */
import { add, ceilDiv, type Expr, eq, le, max, min, sub } from "../ir/expr.js";
import type { FusedLinear, RowClass } from "../ir/graph/ops.js";
import type { LinearOptions } from "../kernels/linear/options.js";
import { skinnyColumns, skinnyLinear, skinnyRows } from "../kernels/linear/skinny.js";
import { linearTile, tiledLinear } from "../kernels/linear/tiled.js";
import type { BindingSource, Step } from "../runtime/manifest.js";
import { bindExpression } from "./element-operands.js";
import { mostMergedRows, partialsBindings } from "./merged-attention.js";
import { logitsBuffer } from "./place-values.js";
import { buffer, type Choice, finishStep, type Situation, type Workshop, weight } from "./step-builder.js";

/** Up to so many rows two blocks of the skinny kernel, which reads the weights twice, still beat a tile that is mostly empty. */
const mostSkinnyRows = 32;

export function linearSteps(shop: Workshop, situation: Situation, op: FusedLinear): Step[] {
  const { places, weights } = shop;
  const { layers } = situation;
  const pair = op.combine === "pair";
  const sizes = op.weights.map((value) => weights.shapeOf(value)[0]!);
  const outputs = pair ? sizes[0]! : sizes.reduce((a, b) => a + b, 0);
  const output = places.bufferOf(op.results[0]!.id);
  const epilogue = bindExpression(shop, situation, op.epilogue, output, outputs);
  const matrix = weights.matrix(op.weights, layers, pair);
  const hasBias = op.biases.some((bias) => bias !== undefined);
  const options: LinearOptions = {
    inputs: matrix.columns,
    outputs,
    matrices: pair ? op.weights.length : 1,
    element: matrix.element as "f32" | "f16",
    ...(op.norm && { norm: { epsilon: op.norm.epsilon, weight: op.norm.weight !== undefined } }),
    bias: hasBias,
    epilogue: epilogue.expression,
    operands: epilogue.operands,
    outputRows: output === logitsBuffer ? "packed" : "table",
    capabilities: shop.capabilities,
  };
  // A run of columns ends where a matrix ends, and a part of a split one at a multiple of far more rows.
  const wholeBlocks = sizes.every((size) => size % skinnyColumns(options) === 0);
  const bindings: Record<string, BindingSource> = {
    weight: weight(matrix.name),
    ...(op.norm?.weight !== undefined && { norm_weight: weight(weights.vector([op.norm.weight], layers).name) }),
    ...(hasBias && {
      bias: weight(
        weights.vector(
          op.biases.map((bias, index) => bias ?? { zeros: sizes[index]! }),
          layers,
        ).name,
      ),
    }),
    output: buffer(output),
    ...epilogue.bindings,
  };
  const step = (
    name: string,
    own: LinearOptions,
    input: Record<string, BindingSource>,
    run: ColumnRun,
    when?: Expr,
  ) => {
    // Bound in parts, a step computes the columns that its part and its run have in common.
    const columns = matrix.splittable ? columnsOfPart(run.base, run.count, outputs) : run;
    return finishStep({
      name,
      op,
      rows: run.rows,
      ...(when !== undefined && { when }),
      choices: linearChoices(shop, own, columns.count, wholeBlocks),
      bindings: { ...input, ...bindings },
      parameters: {
        column_base: columns.base,
        column_count: columns.count,
        part_base: matrix.splittable ? "part_base" : 0,
      },
      ...(matrix.splittable && { partsOf: matrix.name }),
    });
  };
  const input = { input: buffer(places.bufferOf(op.input)) };
  const name = `multiply by ${matrix.name}`;
  const runs = columnRuns(op, situation, sizes, outputs);
  const merge = situation.phase === "decode" ? shop.mergedBy.get(op) : undefined;
  if (merge === undefined) return runs.map((run) => step(name, options, input, run));
  const merging = { ...options, merge: merge.shape };
  return runs.flatMap((run) => [
    step(`merge splits and ${name}`, merging, partialsBindings, run, merge.when),
    step(name, options, input, run, eq(merge.when, 0)),
  ]);
}

interface ColumnRun {
  readonly rows: RowClass;
  readonly base: number;
  readonly count: number;
}

/**
 * Neighbouring columns that the same rows need. Decode computes all columns at once: it is bound by the weights, and one dispatch is
 * cheaper than the few products that nobody needs.
 */
function columnRuns(
  op: FusedLinear,
  { phase, sameRows }: Situation,
  sizes: readonly number[],
  outputs: number,
): ColumnRun[] {
  const rows = op.rows ?? "input";
  if (op.columnRows === undefined || phase === "decode" || sameRows) return [{ rows, base: 0, count: outputs }];
  const runs: ColumnRun[] = [];
  let base = 0;
  for (const [index, count] of sizes.entries()) {
    const own = op.columnRows[index]!;
    const last = runs.at(-1);
    if (last?.rows === own) runs[runs.length - 1] = { ...last, count: last.count + count };
    else runs.push({ rows: own, base, count });
    base += count;
  }
  return runs;
}

function columnsOfPart(base: number, count: number, outputs: number): { base: Expr; count: Expr } {
  if (count === outputs) return { base: "part_base", count: "part_rows" };
  const from = max(base, "part_base");
  return { base: from, count: max(0, sub(min(base + count, add("part_base", "part_rows")), from)) };
}

/**
 * @param columns how many are computed
 * @param wholeBlocks whether every range of columns starts and ends at a block of the skinny kernel
 */
function linearChoices(shop: Workshop, options: LinearOptions, columns: Expr, wholeBlocks: boolean): Choice[] {
  const { kernels, capabilities } = shop;
  const limit = capabilities.limits.maxWorkgroupsPerDimension;
  const block = skinnyColumns(options);
  const sizes = skinnyRows.filter((rows) => !options.merge || rows <= mostMergedRows);
  const choices: Choice[] = sizes.map((rows) => {
    const blocks = ceilDiv(columns, block);
    const small = typeof blocks === "number" && blocks <= limit;
    const most = skinnyRows.at(-1);
    return {
      when: le("row_count", rows === most ? mostSkinnyRows : rows),
      kernel: kernels.get("skinny-linear", { ...options, rows, wholeBlocks }, skinnyLinear),
      workgroups: [
        small ? blocks : min(blocks, limit),
        rows === most ? ceilDiv("row_count", rows) : 1,
        small ? 1 : ceilDiv(blocks, limit),
      ],
    };
  });
  // A merge stands under a condition that excludes more rows.
  if (!tileFits(options) || options.merge) return [...choices.slice(0, -1), withoutCondition(choices.at(-1)!)];
  const tiled = kernels.get("tiled-linear", options, tiledLinear);
  return [
    ...choices,
    { kernel: tiled, workgroups: [ceilDiv(columns, linearTile), ceilDiv("row_count", linearTile), 1] },
  ];
}

/** Whether the device can run the tiled kernel: it needs 256 invocations, and strips of every matrix in workgroup memory. */
function tileFits({ matrices, capabilities: { limits } }: LinearOptions): boolean {
  const bytes = (matrices + 1) * linearTile * 5 * 16;
  return limits.maxWorkgroupSize >= 256 && limits.maxWorkgroupMemory >= bytes;
}

function withoutCondition({ kernel, workgroups }: Choice): Choice {
  return { kernel, workgroups };
}
