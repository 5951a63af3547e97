/** Steps of a fused product: which kernel for how many rows, and which columns in which rows. */
import { add, ceilDiv, type Expr, eq, le, max, min, mul, sub } from "../ir/expr.js";
import type { FusedLinear, RowClass } from "../ir/graph/ops.js";
import type { FloatType } from "../ir/kernel/types.js";
import type { DeferredInput } from "../kernels/linear/deferred-input.js";
import { tileSide } from "../kernels/linear/matrix-fragments.js";
import { matrixSkinnyColumns, matrixSkinnyLinear, matrixSkinnyRows } from "../kernels/linear/matrix-skinny.js";
import { matrixTiledLinear, matrixTileSize } from "../kernels/linear/matrix-tiled.js";
import type { LinearOptions } from "../kernels/linear/options.js";
import { skinnyLinear } from "../kernels/linear/skinny.js";
import { skinnyColumns, skinnyDivision, skinnyRows } from "../kernels/linear/skinny-options.js";
import { linearTile, tiledLinear } from "../kernels/linear/tiled.js";
import { defaultTuning } from "../kernels/tuning.js";
import type { BindingSource, Step, WeightInfo } from "../runtime/manifest.js";
import type { DeferredNorm } from "./deferred-norms.js";
import { bindExpression } from "./element-operands.js";
import { partialsBindings } from "./merged-attention.js";
import { logitsBuffer } from "./place-values.js";
import {
  buffer,
  type Choice,
  finishStep,
  ofPreviousLayer,
  type Situation,
  type Workshop,
  weight,
} from "./step-builder.js";

export function linearSteps(shop: Workshop, situation: Situation, op: FusedLinear): Step[] {
  const product = describeProduct(shop, situation, op);
  const name = `multiply by ${product.matrix.name}`;
  const input = { input: buffer(shop.places.bufferOf(op.input)) };
  const runs = columnRuns(op, situation, product);
  const steps = (call: Omit<LinearCall, "run">, own = product) =>
    runs.map((run) => linearStep(shop, op, own, { ...call, run }));

  const undone = deferredFor(shop, situation, op);
  if (undone !== undefined) {
    const { deferred, input: unfinished } = describeDeferred(shop, situation, undone);
    const finishing = { ...product, options: { ...product.options, deferred } };
    const finishingName = `norm, add and ${name}`;
    const { mostRows } = undone;
    if (mostRows === undefined) return steps({ name: finishingName, input: unfinished }, finishing);
    const when = le("row_count", mostRows);
    return [
      ...steps({ name: finishingName, input: unfinished, when, mostRows }, finishing),
      ...steps({ name, input, when: eq(when, 0) }),
    ];
  }
  const merge = situation.phase === "decode" ? shop.mergedBy.get(op) : undefined;
  if (merge === undefined) return steps({ name, input });
  const merging = { ...product, options: { ...product.options, merge: merge.shape } };
  const mergingName = `merge splits and ${name}`;
  return runs.flatMap((run) => [
    linearStep(shop, op, merging, { name: mergingName, input: partialsBindings, run, ...merge }),
    linearStep(shop, op, product, { name, input, run, when: eq(merge.when, 0) }),
  ]);
}

/** The norm that was left to a product, if there is one in this situation: the first layer has none before it. */
function deferredFor({ deferred }: Workshop, { phase, first }: Situation, op: FusedLinear): DeferredNorm | undefined {
  const undone = phase === "decode" ? deferred.ofProduct(op) : undefined;
  return undone?.across && first ? undefined : undone;
}

function describeDeferred(shop: Workshop, situation: Situation, { norm, across }: DeferredNorm) {
  const { places, weights } = shop;
  const layers = across ? situation.layers.map((layer) => layer - 1) : situation.layers;
  const stream = places.bufferOf(norm.results[0]!.id);
  const width = places.widthOf(norm.input);
  const { expression, operands, bindings } = bindExpression(
    shop,
    { ...situation, layers },
    norm.epilogue,
    stream,
    width,
    "stream_operand",
  );
  const deferred: DeferredInput = { epsilon: norm.epsilon, weight: norm.weight !== undefined, expression, operands };
  const own: Readonly<Record<string, BindingSource>> = {
    input: buffer(places.bufferOf(norm.input)),
    ...(norm.weight !== undefined && { branch_gain: weight(weights.vector([norm.weight], layers).name) }),
    ...bindings,
    stream: buffer(stream),
  };
  return { deferred, input: across ? ofPreviousLayer(own) : own };
}

/** What all steps of one fused product share. */
interface Product {
  readonly options: LinearOptions;
  readonly matrix: WeightInfo;
  /** Columns of each matrix. */
  readonly sizes: readonly number[];
  /** Of everything but the input. */
  readonly bindings: Readonly<Record<string, BindingSource>>;
}

function describeProduct(shop: Workshop, situation: Situation, op: FusedLinear): Product {
  const { places, weights, capabilities } = shop;
  const { layers } = situation;
  const { norm, biases } = op;
  const pair = op.combine === "pair";
  const sizes = op.weights.map((value) => weights.shapeOf(value)[0]!);
  const outputs = pair ? sizes[0]! : sizes.reduce((a, b) => a + b, 0);
  const output = places.bufferOf(op.results[0]!.id);
  const { expression, operands, bindings } = bindExpression(shop, situation, op.epilogue, output, outputs);
  const { matrix, scales } = weights.product(op.weights, layers, pair);
  const hasBias = biases.some((bias) => bias !== undefined);
  // Parts of a concatenation that have no bias get zeros.
  const biasParts = biases.map((bias, index) => bias ?? { zeros: sizes[index]! });
  const options: LinearOptions = {
    ...{ inputs: matrix.columns, outputs, matrices: pair ? op.weights.length : 1, capabilities },
    ...elementOf(matrix, shop.cache),
    ...(shop.tuning !== defaultTuning && { tuning: shop.tuning }),
    ...(norm && { norm: { epsilon: norm.epsilon, weight: norm.weight !== undefined } }),
    bias: hasBias,
    ...{ epilogue: expression, operands },
    outputRows: output === logitsBuffer ? "packed" : "table",
  };
  return {
    ...{ options, matrix, sizes },
    bindings: {
      weight: weight(matrix.name),
      ...(scales && { weight_scales: weight(scales.name) }),
      ...(norm?.weight !== undefined && { norm_weight: weight(weights.vector([norm.weight], layers).name) }),
      ...(hasBias && { bias: weight(weights.vector(biasParts, layers).name) }),
      output: buffer(output),
      ...bindings,
    },
  };
}

/** What kernels take weights as; `halves` are what matrix units take them as. */
function elementOf(
  { element, layout, quantised }: WeightInfo,
  halves: FloatType,
): Pick<LinearOptions, "element" | "quantised"> {
  if (quantised === undefined) return { element: element as FloatType };
  const { bits, group } = quantised;
  return { element: layout === "fragments" ? halves : "f32", quantised: { bits, group } };
}

interface LinearCall {
  readonly name: string;
  readonly input: Readonly<Record<string, BindingSource>>;
  readonly run: ColumnRun;
  readonly when?: Expr;
  /** Most rows that `when` lets through, where it excludes more. */
  readonly mostRows?: number;
}

function linearStep(shop: Workshop, op: FusedLinear, product: Product, call: LinearCall): Step {
  const { name, input, run, when, mostRows } = call;
  const { matrix, options, bindings, sizes } = product;
  // Bound in parts, a step computes the columns that its part and its run have in common.
  const columns = matrix.splittable ? columnsOfPart(run, options.outputs) : run;
  // A run of columns ends where a matrix ends, and a part of a split one at a multiple of far more rows.
  const tiled = matrix.layout === "fragments";
  const block = tiled ? tileSide : skinnyColumns(options);
  const extent = { columns: columns.count, wholeBlocks: sizes.every((size) => size % block === 0), mostRows };
  return finishStep({
    name,
    op,
    rows: run.rows,
    ...(when !== undefined && { when }),
    choices: tiled ? matrixChoices(shop, options, extent) : linearChoices(shop, options, extent),
    bindings: { ...input, ...bindings },
    parameters: {
      column_base: columns.base,
      column_count: columns.count,
      part_base: matrix.splittable ? "part_base" : 0,
    },
    ...(matrix.splittable && { partsOf: matrix.name }),
  });
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
function columnRuns(op: FusedLinear, { phase, sameRows }: Situation, { sizes, options }: Product): ColumnRun[] {
  const rows = op.rows ?? "input";
  if (op.columnRows === undefined || phase === "decode" || sameRows) return [{ rows, base: 0, count: options.outputs }];
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

function columnsOfPart({ base, count }: ColumnRun, outputs: number): { base: Expr; count: Expr } {
  if (count === outputs) return { base: "part_base", count: "part_rows" };
  const from = max(base, "part_base");
  return { base: from, count: max(0, sub(min(base + count, add("part_base", "part_rows")), from)) };
}

interface Extent {
  /** How many columns are computed. */
  readonly columns: Expr;
  /** Whether every range of columns starts and ends at a block of the skinny kernel, or at a tile of packed weights. */
  readonly wholeBlocks: boolean;
  /** More rows never come here. */
  readonly mostRows?: number;
}

function linearChoices(shop: Workshop, options: LinearOptions, { columns, wholeBlocks, mostRows }: Extent): Choice[] {
  const { kernels, capabilities, tuning } = shop;
  const limit = capabilities.limits.maxWorkgroupsPerDimension;
  const most = tuning.skinnyRows;
  const sizes = skinnyRows.filter((rows) => rows <= Math.min(most, mostRows ?? most));
  const choices: Choice[] = sizes.map((rows) => {
    const blocks = ceilDiv(columns, skinnyDivision({ ...options, rows }).columns);
    const small = typeof blocks === "number" && blocks <= limit;
    return {
      when: le("row_count", rows === most ? Math.max(most, tuning.untiledRows) : rows),
      kernel: kernels.get("skinny-linear", { ...options, rows, wholeBlocks }, skinnyLinear),
      workgroups: [
        small ? blocks : min(blocks, limit),
        rows === most ? ceilDiv("row_count", rows) : 1,
        small ? 1 : ceilDiv(blocks, limit),
      ],
    };
  });
  const tile = linearTile(options);
  if (tile === undefined || mostRows !== undefined) return [...choices.slice(0, -1), withoutCondition(choices.at(-1)!)];
  const tiled = kernels.get("tiled-linear", options, tiledLinear);
  return [
    ...choices,
    { kernel: tiled, workgroups: [ceilDiv(columns, tile.columns), ceilDiv("row_count", tile.rows), 1] },
  ];
}

/** The same on matrix units. A range of columns that begins inside a tile of weights may touch one more. */
function matrixChoices({ kernels }: Workshop, options: LinearOptions, extent: Extent): Choice[] {
  const columns = extent.wholeBlocks ? extent.columns : add(extent.columns, tileSide - 1);
  const enough = matrixSkinnyRows.findIndex((rows) => rows >= (extent.mostRows ?? Number.POSITIVE_INFINITY));
  const sizes = enough < 0 ? matrixSkinnyRows : matrixSkinnyRows.slice(0, enough + 1);
  const choices = sizes.map((rows): Choice => {
    const own = { ...options, rows };
    return {
      when: le("row_count", rows),
      kernel: kernels.get("matrix-skinny-linear", own, matrixSkinnyLinear),
      workgroups: [ceilDiv(columns, matrixSkinnyColumns(own)), ceilDiv("row_count", rows), 1],
    };
  });
  if (extent.mostRows !== undefined) return [...choices.slice(0, -1), withoutCondition(choices.at(-1)!)];
  const tiled = (["small", "large"] as const).map((tile): Choice => {
    const own = { ...options, tile };
    const size = matrixTileSize(own);
    return {
      kernel: kernels.get("matrix-tiled-linear", own, matrixTiledLinear),
      workgroups: [ceilDiv(columns, size.columns), ceilDiv("row_count", size.rows), 1],
    };
  }) as [Choice, Choice];
  const [small, large] = tiled;
  const [x, y] = large.workgroups;
  return [...choices, { ...small, when: le(mul(x, y), idleWorkgroups) }, large];
}

/** So few large tiles would leave processors of a large GPU without one. */
const idleWorkgroups = 131;

function withoutCondition({ kernel, workgroups }: Choice): Choice {
  return { kernel, workgroups };
}
