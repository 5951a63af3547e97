/** Steps around the key stores: finishing queries and keys, moving rings in and out of a prefill, attention, the merge of its splits. */
import { InternalError } from "../diagnostics/diagnostic.js";
import { ceilDiv, eq, le, min } from "../ir/expr.js";
import type { CachedAttention, RotateOp, RowClass, StoreKeys } from "../ir/graph/ops.js";
import { decodeAttention } from "../kernels/attention/decode.js";
import { matrixDecodeAttention } from "../kernels/attention/matrix-decode.js";
import { matrixPrefillAttention } from "../kernels/attention/matrix-prefill.js";
import { takesMatrixUnits } from "../kernels/attention/matrix-tiling.js";
import { mergePartials } from "../kernels/attention/merge.js";
import { moveKeys } from "../kernels/attention/move-keys.js";
import {
  type AttentionOptions,
  type DecodeAttentionOptions,
  decodeAttentionWorkgroups,
  type FreshHeads,
  mergePartialsWorkgroups,
  moveKeysWorkgroups,
  prefillAttentionWorkgroups,
} from "../kernels/attention/options.js";
import { prefillAttention } from "../kernels/attention/prefill.js";
import type { HeadColumns } from "../kernels/elementwise/head-columns.js";
import { headsOf, type StoreKeysOptions, storeKeys } from "../kernels/elementwise/store-keys.js";
import { defaultTuning } from "../kernels/tuning.js";
import { copiesIn } from "../runtime/key-group.js";
import type { BindingSource, Step } from "../runtime/manifest.js";
import { partialsBindings } from "./merged-attention.js";
import { buffer, control, finishStep, type Situation, stepName, table, type Workshop, weight } from "./step-builder.js";
import type { VectorPart } from "./weight-library.js";

/**
 * Queries and keys are finished in one step where they need the same rows and fit the bindings of a kernel, else each by itself. In
 * decode attention finishes them where it can.
 */
export function storeKeysSteps(shop: Workshop, situation: Situation, op: StoreKeys): Step[] {
  const { capabilities } = shop;
  if (freshHeads(shop, situation, op) !== undefined) return [];
  if (oneTable(shop, op) && (situation.phase === "decode" || situation.sameRows)) {
    const both = storeKeysStep(shop, situation, op, { query: true, keys: true, rows: "input" });
    if (both.bound <= capabilities.limits.maxStorageBuffers) return [both.step()];
  }
  return [
    storeKeysStep(shop, situation, op, { query: false, keys: true, rows: "input" }).step(),
    storeKeysStep(shop, situation, op, { query: true, keys: false, rows: "query" }).step(),
  ];
}

const oneTable = ({ tables }: Workshop, { queryRope, keyRope }: StoreKeys): boolean =>
  !queryRope || !keyRope || tables.same(queryRope, keyRope);

/** What decode attention needs to finish queries and keys itself; absent in prefill, and where it would need too many bindings. */
function freshHeads(shop: Workshop, situation: Situation, op: StoreKeys) {
  if (situation.phase !== "decode" || !oneTable(shop, op)) return undefined;
  const { bindings, query, key, ...heads } = layOutHeads(shop, situation, op, { query: true, keys: true });
  const { kept, entering } = situation;
  const bound = { ...bindings, ...keyBindings(shop, kept), ...partialsBindings, control };
  if (Object.keys(bound).length > shop.capabilities.limits.maxStorageBuffers) return undefined;
  const fresh: FreshHeads = { ...heads, query: query!, key: key!, kept, entering, order: shop.decodeOrder };
  return { fresh, bindings: bound };
}

/** Positions that a processor of a large GPU gets where it attends to two thousand. */
const positionsEach = 16;

/**
 * Keys of a split where nobody has tuned them. A workgroup on matrix units has few bytes on their way at a time, so there have to be
 * enough of them, over all key heads, for every processor.
 */
export function usualKeysPerSplit(
  shop: Pick<Workshop, "capabilities" | "cache">,
  attentions: readonly CachedAttention[],
) {
  const { keysPerSplit } = defaultTuning;
  if (attentions.length === 0 || !attentions.every(({ width }) => takesMatrixUnits({ ...shop, width })))
    return keysPerSplit;
  const heads = Math.min(...attentions.map(({ kvHeads }) => kvHeads));
  return Math.max(64, Math.min(positionsEach * heads, keysPerSplit));
}

/** A rotation by itself: queries that are finished, with nothing to store. */
export function rotateStep(shop: Workshop, op: RotateOp): Step {
  const { places, tables, kernels, graph, capabilities } = shop;
  const width = places.widthOf(op.input) / op.heads;
  const angles = tables.rotation(op);
  const options: StoreKeysOptions = {
    ...{ sources: [places.widthOf(op.input)], heads: op.heads, kvHeads: 0, width, copies: graph.copies, capabilities },
    query: { source: 0, offset: 0, rotate: true },
    copyAngles: angles.copy !== undefined,
  };
  return finishStep({
    name: stepName("rotate", op),
    op,
    rows: op.rows ?? "input",
    choices: [{ kernel: kernels.get("store-keys", options, storeKeys), workgroups: headWorkgroups(shop, options) }],
    bindings: {
      control,
      source_0: buffer(places.bufferOf(op.input)),
      pos_angles: table(angles.pos),
      ...(angles.copy !== undefined && { copy_angles: table(angles.copy) }),
      queries: buffer(places.bufferOf(op.results[0]!.id)),
    },
  });
}

interface StoreParts {
  readonly query: boolean;
  readonly keys: boolean;
  readonly rows: RowClass;
}

/** Where the heads of a layer stand, and how they are finished. */
interface LaidOutHeads {
  readonly sources: readonly number[];
  readonly query?: HeadColumns;
  readonly key?: HeadColumns;
  readonly value: Pick<HeadColumns, "source" | "offset">;
  readonly copyAngles: boolean;
  /** Of the sources, the gains of norms, and the angles. */
  readonly bindings: Readonly<Record<string, BindingSource>>;
}

function layOutHeads(
  { places, tables, weights }: Workshop,
  { layers }: Situation,
  op: StoreKeys,
  parts: Omit<StoreParts, "rows">,
): LaidOutHeads {
  const slices = [...(parts.query ? [op.query] : []), ...(parts.keys ? [op.key, op.value] : [])];
  const sources = [...new Set(slices.map(({ value }) => value))];
  const norms: VectorPart[] = [];
  let normLength = 0;
  const columns = (slice: StoreKeys["query"], norm: StoreKeys["queryNorm"], rotate: boolean): HeadColumns => {
    const weightAt = normLength;
    if (norm !== undefined) {
      norms.push(norm.weight);
      normLength += weights.shapeOf(norm.weight)[0]!;
    }
    return {
      source: sources.indexOf(slice.value),
      offset: slice.offset,
      rotate,
      ...(norm !== undefined && { norm: { epsilon: norm.epsilon, over: norm.over, weightAt } }),
    };
  };
  const query = parts.query ? columns(op.query, op.queryNorm, op.queryRope !== undefined) : undefined;
  const key = parts.keys ? columns(op.key, op.keyNorm, op.keyRope !== undefined) : undefined;
  const rope = (parts.query ? op.queryRope : undefined) ?? (parts.keys ? op.keyRope : undefined);
  const angles = rope && tables.rotation(rope);
  return {
    sources: sources.map((value) => places.widthOf(value)),
    ...(query && { query }),
    ...(key && { key }),
    value: { source: sources.indexOf(op.value.value), offset: op.value.offset },
    copyAngles: angles?.copy !== undefined,
    bindings: {
      ...Object.fromEntries(sources.map((value, index) => [`source_${index}`, buffer(places.bufferOf(value))])),
      ...(norms.length > 0 && { norm_weights: weight(weights.vector(norms, layers).name) }),
      ...(angles && { pos_angles: table(angles.pos) }),
      ...(angles?.copy !== undefined && { copy_angles: table(angles.copy) }),
    },
  };
}

function storeKeysStep(shop: Workshop, situation: Situation, op: StoreKeys, parts: StoreParts) {
  const { places, graph } = shop;
  const { sources, query, key, value, copyAngles, bindings: heads } = layOutHeads(shop, situation, op, parts);
  const groups = situation.read.map((group) => {
    const { name: _, ...members } = graph.groups![group]!;
    return { group, ...members };
  });
  const options: StoreKeysOptions = {
    ...{ sources, heads: op.query.heads, kvHeads: op.key.heads, width: op.width, copies: graph.copies },
    ...(query && { query }),
    ...(key && { keys: { key, value, element: shop.cache, groups } }),
    ...{ copyAngles, capabilities: shop.capabilities },
  };
  const bindings: Record<string, BindingSource> = {
    control,
    ...heads,
    ...(parts.query && { queries: buffer(places.bufferOf(op.results[0]!.id)) }),
    ...(parts.keys && keyBindings(shop, situation.read)),
  };
  const verb = parts.query
    ? parts.keys
      ? "finish queries and store keys for"
      : "finish queries for"
    : "store keys for";
  return {
    bound: Object.keys(bindings).length,
    step: () =>
      finishStep({
        name: stepName(verb, op),
        op,
        rows: parts.rows,
        choices: [
          { kernel: shop.kernels.get("store-keys", options, storeKeys), workgroups: headWorkgroups(shop, options) },
        ],
        bindings,
      }),
  };
}

function headWorkgroups({ capabilities: { limits } }: Workshop, options: StoreKeysOptions) {
  const limit = limits.maxWorkgroupsPerDimension;
  return [headsOf(options), min("row_count", limit), ceilDiv("row_count", limit)] as const;
}

/** What holds the keys of some groups. */
function keyBindings({ graph }: Workshop, groups: readonly number[]): Record<string, BindingSource> {
  return Object.fromEntries(
    groups.map((group) => [`keys_${group}`, { kind: "keys", group: graph.groups![group]!.name }]),
  );
}

export function attentionSteps(shop: Workshop, situation: Situation, op: CachedAttention): Step[] {
  return situation.phase === "decode" ? decodeSteps(shop, situation, op) : prefillSteps(shop, situation, op);
}

function optionsOf(shop: Workshop, situation: Situation, op: CachedAttention): AttentionOptions {
  const { graph, cache, capabilities, tileRows } = shop;
  const { parts, predicate } = graph.attends[op.attend]!;
  if (parts === undefined || graph.groups === undefined) throw new InternalError("tokens are not grouped");
  return {
    ...{ heads: op.heads, kvHeads: op.kvHeads, width: op.width, scale: op.scale, cache, capabilities },
    groups: graph.groups,
    // A key that only undemanded queries see is not stored, so nobody may look for it.
    parts: parts.map((part, group) => (situation.read.includes(group) ? part : { ...part, density: "empty" })),
    predicate,
    tileRows: tileRows[situation.phase],
  };
}

function prefillSteps(shop: Workshop, situation: Situation, op: CachedAttention): Step[] {
  const options = optionsOf(shop, situation, op);
  const attend = finishStep({
    name: stepName("attend for", op),
    op,
    rows: op.rows ?? "query",
    choices: [
      {
        kernel: takesMatrixUnits(options)
          ? shop.kernels.get("matrix-prefill-attention", options, matrixPrefillAttention)
          : shop.kernels.get("prefill-attention", options, prefillAttention),
        workgroups: prefillAttentionWorkgroups(options),
      },
    ],
    bindings: {
      query: buffer(shop.places.bufferOf(op.query)),
      ...keyBindings(shop, situation.read),
      attended: buffer(shop.places.bufferOf(op.results[0]!.id)),
      control,
    },
  });
  const moves = (direction: "in" | "out") => situation.rings.map((group) => moveStep(shop, op, group, direction));
  return [...moves("in"), attend, ...moves("out")];
}

function moveStep(shop: Workshop, op: CachedAttention, group: number, direction: "in" | "out"): Step {
  const members = shop.graph.groups![group]!;
  const { name } = members;
  const kvWidth = op.kvHeads * op.width;
  const options = {
    ...{ direction, group, copies: copiesIn(members), kvWidth },
    ...{ cache: shop.cache, capabilities: shop.capabilities },
  };
  const [store, scratch]: BindingSource[] = [
    { kind: "store", group: name },
    { kind: "keys", group: name },
  ];
  return finishStep({
    name: direction === "in" ? `take over kept keys of ${name}` : `keep the last keys of ${name}`,
    op,
    ...(direction === "in" && { when: le(1, "start") }),
    choices: [
      { kernel: shop.kernels.get("move-keys", options, moveKeys), workgroups: moveKeysWorkgroups(options, "keep") },
    ],
    bindings: {
      from: direction === "in" ? store! : scratch!,
      to: direction === "in" ? scratch! : store!,
      control,
    },
  });
}

function decodeSteps(shop: Workshop, situation: Situation, op: CachedAttention): Step[] {
  const { kernels, capabilities, places } = shop;
  const store = shop.storedBy.get(op.query);
  const heads = store && freshHeads(shop, situation, store);
  const options: DecodeAttentionOptions = {
    ...optionsOf(shop, situation, op),
    ...(heads && { fresh: heads.fresh }),
  };
  const shape = { heads: op.heads, kvHeads: op.kvHeads, width: op.width };
  const merge = [...shop.mergedBy.values()].find(({ attention }) => attention === op);
  const finished = {
    query: buffer(places.bufferOf(op.query)),
    ...keyBindings(shop, situation.read),
    ...partialsBindings,
    control,
  };
  return [
    finishStep({
      name: stepName(heads ? "finish queries and keys, and attend for" : "attend for", op),
      op,
      rows: op.rows ?? "query",
      choices: [
        {
          kernel: takesMatrixUnits(options)
            ? kernels.get("matrix-decode-attention", options, matrixDecodeAttention)
            : kernels.get("decode-attention", options, decodeAttention),
          workgroups: decodeAttentionWorkgroups(options),
        },
      ],
      bindings: heads?.bindings ?? finished,
    }),
    finishStep({
      name: stepName("merge splits of", op),
      op,
      rows: op.rows ?? "query",
      ...(merge && { when: eq(merge.when, 0) }),
      choices: [
        {
          kernel: kernels.get("merge-partials", { ...shape, capabilities }, mergePartials),
          workgroups: mergePartialsWorkgroups(shape),
        },
      ],
      bindings: { ...partialsBindings, attended: buffer(places.bufferOf(op.results[0]!.id)) },
    }),
  ];
}
