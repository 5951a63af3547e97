/**
 * Turns a fused graph and what was found out about it into a manifest and the kernels it names.
 *
 * Every operation becomes steps: kernel calls with their bindings, and formulas for how many workgroups run. Prefill and decode
 * are two programs over the same buffers, weights and kernels.
 */

import { InternalError, unreachable } from "../diagnostics/diagnostic.js";
import { mul } from "../ir/expr.js";
import type { CachedAttention, Graph, Layers, Op, StoreKeys, ValueId } from "../ir/graph/ops.js";
import { eachOp } from "../ir/graph/walk.js";
import type { Capabilities } from "../ir/kernel/capabilities.js";
import { withDependentLaunch } from "../ir/kernel/dependent-launch.js";
import type { Kernel } from "../ir/kernel/kernel.js";
import type { FloatType } from "../ir/kernel/types.js";
import { preferredTileRows } from "../kernels/attention/options.js";
import { takesFragments } from "../kernels/linear/matrix-fragments.js";
import { defaultTuning, type Tuning } from "../kernels/tuning.js";
import type { BufferInfo, Manifest, Phase, Quantisation, Step } from "../runtime/manifest.js";
import { attentionSteps, rotateStep, storeKeysSteps, usualKeysPerSplit } from "./attention-steps.js";
import { mostDeferredRows } from "./deferred-rows.js";
import type { ScheduleFacts } from "./facts.js";
import { KernelLibrary } from "./kernel-library.js";
import { keyStores } from "./key-stores.js";
import { classifyLayers } from "./layer-classes.js";
import { linearSteps } from "./linear-steps.js";
import { memoryFormulas } from "./memory-formula.js";
import { mergedAttentions } from "./merged-attention.js";
import { placeWithDeferred } from "./place-deferred.js";
import { logitsBuffer, partialsBuffers } from "./place-values.js";
import { copyStep, embedStep, mapStep, normSteps, undoneNormStep } from "./row-steps.js";
import { samplingSteps } from "./sampling-steps.js";
import type { Situation, Workshop } from "./step-builder.js";
import { symbolInfos } from "./symbols.js";
import { TableLibrary } from "./table-library.js";
import { WeightLibrary } from "./weight-library.js";

export interface ScheduleOptions {
  /** Element type of weight matrices and key stores; activations and sums are f32. */
  readonly dtype: FloatType;
  readonly capabilities: Capabilities;
  /** Weights of products are small integers; embeddings, norms and biases stay floats. */
  readonly quantise?: Quantisation;
  /** What is not given has its default. */
  readonly tuning?: Partial<Tuning>;
}

/** The parts of a manifest that follow from the graph; kernel texts, names and versions come with the package. */
export type ScheduledManifest = Pick<
  Manifest,
  | "symbols"
  | "constants"
  | "groups"
  | "rows"
  | "stores"
  | "buffers"
  | "tables"
  | "weights"
  | "phases"
  | "sampling"
  | "memory"
  | "tolerance"
> & { readonly vocab: number; readonly layers: number };

export interface Schedule {
  readonly manifest: ScheduledManifest;
  readonly kernels: readonly Kernel[];
}

/** f16 has 11 bits and bf16 8 where f32 has 24; all leave room for sums over a few thousand terms. */
const tolerances = { f32: 2e-3, f16: 5e-2, bf16: 4e-1 } as const;

export function schedule(graph: Graph, facts: ScheduleFacts, options: ScheduleOptions): Schedule {
  const { dtype, capabilities, quantise, tuning: given } = options;
  const tuning = given === undefined ? defaultTuning : { ...defaultTuning, ...given };
  const largestBinding = capabilities.limits.maxBindingSize;
  const productLayout = takesFragments({ element: dtype, capabilities }) ? "fragments" : "rows";
  const groups = graph.groups;
  if (groups === undefined) throw new InternalError("tokens are not grouped");
  const loop = graph.body.ops.find((op) => op.kind === "layers");
  const layers = loop?.count ?? 0;
  const attentions = [...eachOp(graph)].filter((op) => op.kind === "cached-attention");
  const { maxStorageBuffers } = capabilities.limits;
  const { deferred, places } = placeWithDeferred(graph, {
    ...{ maxStorageBuffers, scales: quantise !== undefined },
    ...(productLayout === "fragments" && { mostRows: (product) => mostDeferredRows(product, quantise) }),
  });
  const shop: Workshop = {
    ...{ graph, capabilities, cache: dtype, places, deferred },
    kernels: new KernelLibrary(),
    weights: new WeightLibrary(graph, { element: dtype, largestBinding, productLayout, quantise }),
    tables: new TableLibrary(graph.copies),
    mergedBy: mergedAttentions(graph, deferred, capabilities, maxStorageBuffers),
    storedBy: storesByQuery(graph),
    decodeOrder: facts.rows.decode.order,
    tileRows: tileRowsOf(attentions, graph.copies, tuning),
    tuning,
  };

  const phases = {
    prefill: schedulePhase(shop, facts, loop, "prefill"),
    decode: schedulePhase(shop, facts, loop, "decode"),
  };
  const vocab = shop.places.widthOf(graph.body.yields[0]!);
  const sampling = samplingSteps(shop, vocab);
  const stores = keyStores(graph, facts, loop, dtype);
  const keysPerSplit = given?.keysPerSplit ?? usualKeysPerSplit(shop, attentions);
  const buffers = [...shop.places.buffers, ...partials(attentions, graph.copies)];
  const weights = shop.weights.finish(layers);
  const { tables } = shop.tables;
  const manifest: ScheduledManifest = {
    symbols: symbolInfos(graph),
    constants: {
      ...{ copies: graph.copies, layers, vocab },
      // The run time has the same default.
      ...(keysPerSplit !== defaultTuning.keysPerSplit && { keys_per_split: keysPerSplit }),
    },
    groups,
    rows: { tileRows: shop.tileRows, ...facts.rows },
    ...{ stores, buffers, tables, weights, phases, sampling, vocab, layers },
    memory: memoryFormulas({ layers, groups, stores, buffers, tables, weights }),
    tolerance: tolerances[dtype],
  };
  const kernels = shop.kernels.kernels.map((kernel) => withDependentLaunch(kernel, capabilities));
  return { manifest, kernels };
}

function schedulePhase(
  shop: Workshop,
  facts: ScheduleFacts,
  loop: Layers | undefined,
  phase: Situation["phase"],
): Phase {
  const { places, graph } = shop;
  const outside: Situation = {
    phase,
    layers: [],
    sameRows: true,
    rings: [],
    read: [],
    kept: [],
    entering: 0,
    first: false,
  };
  const at = loop === undefined ? -1 : graph.body.ops.indexOf(loop);
  const run = (ops: readonly Op[]) => ops.flatMap((op) => stepsOf(shop, outside, op));
  const left = phase === "decode" ? shop.deferred.across : [];
  const { classes, classOf } = loop
    ? classifyLayers(loop, facts, phase, left.length === 0)
    : { classes: [], classOf: [] };
  const last: Situation = { ...outside, layers: [(loop?.count ?? 0) - 1] };
  return {
    before: [
      ...run(graph.body.ops.slice(0, Math.max(at, 0))),
      ...places.before.map((copy) => copyStep(shop, copy, "input")),
    ],
    layer: classes.map(({ graphClass, situation }) => [
      ...loop!.classes[graphClass]!.body.ops.flatMap((op) => stepsOf(shop, situation, op)),
      ...places.afterLayer[graphClass]!.map((copy) => copyStep(shop, copy, "query")),
    ]),
    classOf,
    after: [
      ...left.map((undone) => undoneNormStep(shop, last, undone)),
      ...run(graph.body.ops.slice(at + 1)),
      ...copiedLogits(shop),
    ],
  };
}

/** Predictions that no step of their own computes (what leaves the layers, or a selection of it) are copied out. */
function copiedLogits(shop: Workshop): Step[] {
  const [yielded] = shop.graph.body.yields;
  const from = shop.places.bufferOf(yielded!);
  if (from === logitsBuffer) return [];
  return [copyStep(shop, { from, to: logitsBuffer, width: shop.places.widthOf(yielded!) }, "output")];
}

function stepsOf(shop: Workshop, situation: Situation, op: Op): Step[] {
  switch (op.kind) {
    case "input":
    case "weight":
    // Moves nothing: the row table ends in the predicting rows.
    case "select-copy":
      return [];
    case "embed":
      return [embedStep(shop, situation, op)];
    case "fused-linear":
      return linearSteps(shop, situation, op);
    case "norm":
      return normSteps(shop, situation, op);
    case "map":
      return [mapStep(shop, situation, op)];
    case "rotate":
      return [rotateStep(shop, op)];
    case "store-keys":
      return storeKeysSteps(shop, situation, op);
    case "cached-attention":
      return attentionSteps(shop, situation, op);
    case "repeat-tokens":
    case "linear":
    case "rms-norm":
    case "split-heads":
    case "merge-heads":
    case "rope":
    case "attention":
    case "unary":
    case "binary":
    case "scale":
    case "layers":
      throw new InternalError(`${op.kind} is left where only fused operations can be scheduled`);
    default:
      return unreachable(op);
  }
}

function storesByQuery(graph: Graph): ReadonlyMap<ValueId, StoreKeys> {
  const stores = [...eachOp(graph)].filter((op) => op.kind === "store-keys");
  return new Map(stores.map((op) => [op.results[0]!.id, op]));
}

/** Query tiles that suit every attention of the model. */
function tileRowsOf(
  attentions: readonly CachedAttention[],
  copies: number,
  { queryRows }: Tuning,
): Workshop["tileRows"] {
  const prefill = Math.max(1, Math.min(...attentions.map((op) => preferredTileRows(op)), queryRows));
  return { prefill, decode: Math.min(prefill, copies) };
}

/** What decode attention leaves for the merge, as large as the widest attention of the model needs. */
function partials(attentions: readonly CachedAttention[], copies: number): BufferInfo[] {
  if (attentions.length === 0) return [];
  const most = (of: (op: CachedAttention) => number) => Math.max(...attentions.map(of));
  const { values, stats } = partialsBuffers;
  return [
    {
      name: values,
      doc: "unnormalised sums of values, per row, head and split",
      element: "f32",
      length: mul("batch", "splits", copies * most(({ heads, width }) => heads * width)),
      slot: values,
    },
    {
      name: stats,
      doc: "greatest score and sum of weights, per row, head and split",
      element: "f32",
      length: mul("batch", "splits", copies * 2 * most(({ heads }) => heads)),
      slot: stats,
    },
  ];
}
