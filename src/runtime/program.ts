/**
 * From the steps of a phase to dispatches: choices are made, formulas evaluated, parameters laid out.
 */
import { ManifestError } from "./errors.js";
import { type Environment, evaluate } from "./expr.js";
import type { BindingSource, Manifest, Phase, SampleParameter, Step } from "./manifest.js";
import type { WeightPart } from "./packing.js";
import type { RowRange, RowTable } from "./rows.js";
import { type SessionShape, storesOf } from "./shape.js";

/** One kernel call with everything decided but the buffers. */
export interface Call {
  readonly step: string;
  readonly kernel: string;
  readonly workgroups: readonly [number, number, number];
  readonly parameters: Readonly<Record<string, number>>;
  readonly bindings: Readonly<Record<string, BindingSource>>;
  readonly layer: number | undefined;
  /** Rows of the table before this one are computed neither here nor later in the phase. */
  readonly firstRow: number;
  /** Which part of the split weight the call is for. */
  readonly part: number | undefined;
}

export type SampleValues = Readonly<Record<SampleParameter, number>>;

/** The tiles of a row range, as a run among all tiles of a phase. */
export type TilesOf = (range: RowRange) => RowRange;

export interface PhaseContext {
  readonly manifest: Manifest;
  readonly shape: SessionShape;
  readonly phase: "prefill" | "decode";
  readonly table: RowTable;
  readonly tilesOf: TilesOf;
  /** Greatest length after, and positions before, over all sequences. */
  readonly n: number;
  readonly start: number;
  /** Parts of a split weight. */
  readonly partsOf: (weight: string) => readonly WeightPart[];
}

/** The calls of a whole phase, in order. Without `head`, the steps that predict are left out. */
export function callsOfPhase(context: PhaseContext, options: { readonly head: boolean }): Call[] {
  const phase: Phase = context.manifest.phases[context.phase];
  const env = phaseEnvironment(context);
  const { table } = context;
  const calls = phase.before.flatMap((step) => callsOfStep(context, step, env, { firstRow: 0 }));
  for (let layer = 0; layer < context.manifest.model.layers; layer++) {
    const inLayer = { ...env, layer, ...storeSymbols(context, layer) };
    const at = { layer, firstRow: table.input(layer).base };
    for (const step of phase.layer[phase.classOf[layer]!]!) calls.push(...callsOfStep(context, step, inLayer, at));
  }
  if (options.head)
    calls.push(...phase.after.flatMap((step) => callsOfStep(context, step, env, { firstRow: table.output.base })));
  return calls;
}

/** The calls that sample from the logits and advance the decode table. */
export function callsOfSampling(context: PhaseContext, values: SampleValues): Call[] {
  const env = { ...phaseEnvironment(context), greedy: values.temperature === 0 ? 1 : 0 };
  return context.manifest.sampling.flatMap((step) => callsOfStep(context, step, env, { firstRow: 0, sample: values }));
}

function phaseEnvironment({ shape, phase, table, n, start }: PhaseContext): Environment {
  const { sequencesAt, sequenceStride, rowsAt, tilesAt } = shape.control[phase];
  return {
    ...shape.symbols,
    rows: table.rows,
    n,
    start,
    sequences_at: sequencesAt,
    sequence_stride: sequenceStride,
    rows_at: rowsAt,
    tiles_at: tilesAt,
  };
}

/** Slots of what each group's keys are in during the phase. */
function storeSymbols({ manifest, shape, phase }: PhaseContext, layer: number): Record<string, number> {
  const symbols: Record<string, number> = {};
  for (const [group, store] of storesOf(manifest, layer).entries()) {
    const inScratch = phase === "prefill" && (store.layout === "ring" || store.layout === "step");
    symbols[`slots_${group}`] = inScratch ? shape.scratchSlots[group]! : evaluate(store.slots, shape.symbols);
  }
  return symbols;
}

/** Where in a phase a step stands. */
interface StepPlace {
  readonly layer?: number;
  readonly firstRow: number;
  readonly sample?: SampleValues;
}

function callsOfStep(context: PhaseContext, step: Step, env: Environment, place: StepPlace): Call[] {
  const { layer } = place;
  const inStep: Environment = {
    ...env,
    ...rowSymbols(context, step, layer),
    ...movedStoreSymbols(context, step, layer),
  };
  if (step.when !== undefined && evaluate(step.when, inStep) === 0) return [];
  // A slice that does not end its prompt asks nothing of the last layer.
  if (inStep["row_count"] === 0) return [];
  if (step.partsOf === undefined) return callOf(step, inStep, place);
  return context
    .partsOf(step.partsOf)
    .flatMap(({ base, rows }, part) => callOf(step, { ...inStep, part_base: base, part_rows: rows }, place, part));
}

function rowSymbols(
  { table, tilesOf }: PhaseContext,
  { rows }: Step,
  layer: number | undefined,
): Record<string, number> {
  if (rows === undefined) return {};
  const range = rows === "output" ? table.output : rows === "query" ? table.query(layer ?? 0) : table.input(layer ?? 0);
  const tiles = tilesOf(range);
  return { row_base: range.base, row_count: range.count, tile_base: tiles.base, tile_count: tiles.count };
}

/** For steps that move keys between a store and the scratch. */
function movedStoreSymbols(
  { manifest, shape }: PhaseContext,
  step: Step,
  layer: number | undefined,
): Record<string, number> {
  const moved = Object.values(step.bindings).find((source) => source.kind === "store");
  if (moved === undefined || layer === undefined) return {};
  const group = manifest.groups.findIndex(({ name }) => name === moved.group);
  const store = storesOf(manifest, layer)[group]!;
  return {
    keep: store.keep,
    ring_slots: evaluate(store.slots, shape.symbols),
    scratch_slots: shape.scratchSlots[group]!,
  };
}

function callOf(step: Step, env: Environment, { layer, firstRow, sample }: StepPlace, part?: number): Call[] {
  const choice = step.choices.find(({ when }) => when === undefined || evaluate(when, env) !== 0);
  if (choice === undefined) throw new ManifestError(step.name, "none of the choices applies");
  const counts = choice.workgroups.map((formula) => evaluate(formula, env));
  if (!counts.every((count) => Number.isSafeInteger(count) && count >= 0)) {
    throw new ManifestError(step.name, `${counts.join(" × ")} workgroups make no sense`);
  }
  const [x, y, z] = counts;
  // A step without rows to work on, as the hidden rows of a layer that nobody demands.
  if (x === 0 || y === 0 || z === 0) return [];
  const parameters: Record<string, number> = {};
  for (const [name, value] of Object.entries(choice.parameters)) {
    parameters[name] = typeof value === "object" && "sample" in value ? sample![value.sample] : evaluate(value, env);
  }
  return [
    {
      step: step.name,
      kernel: choice.kernel,
      workgroups: [x!, y!, z!],
      parameters,
      bindings: step.bindings,
      layer,
      firstRow,
      part,
    },
  ];
}
