/** What all steps share: the libraries they draw from, and how a kernel call becomes a step of the manifest. */
import { InternalError } from "../diagnostics/diagnostic.js";
import { ceilDiv, type Expr, min } from "../ir/expr.js";
import type { FusedLinear, Graph, Op, RowClass, StoreKeys, ValueId } from "../ir/graph/ops.js";
import type { Capabilities } from "../ir/kernel/capabilities.js";
import type { Kernel } from "../ir/kernel/kernel.js";
import type { FloatType } from "../ir/kernel/types.js";
import type { Tuning } from "../kernels/tuning.js";
import type { BindingSource, SampleParameter, Step } from "../runtime/manifest.js";
import { lineColumn } from "../source/source-file.js";
import type { DeferredNorms } from "./deferred-norms.js";
import type { KernelLibrary } from "./kernel-library.js";
import type { Merge } from "./merged-attention.js";
import type { Places } from "./place-values.js";
import type { TableLibrary } from "./table-library.js";
import type { WeightLibrary } from "./weight-library.js";

/** Everything the steps of a package are built from. */
export interface Workshop {
  readonly graph: Graph;
  readonly capabilities: Capabilities;
  /** Element type of key stores. */
  readonly cache: FloatType;
  readonly places: Places;
  readonly kernels: KernelLibrary;
  readonly weights: WeightLibrary;
  readonly tables: TableLibrary;
  /** Products that may take decode attention in splits. */
  readonly mergedBy: ReadonlyMap<FusedLinear, Merge>;
  /** Norms that a decode step leaves to products. */
  readonly deferred: DeferredNorms;
  /** What finishes the queries of an attention, and stores its keys. */
  readonly storedBy: ReadonlyMap<ValueId, StoreKeys>;
  /** Copies in the order of the decode table. */
  readonly decodeOrder: readonly number[];
  /** Most rows of a query tile, per phase. */
  readonly tileRows: { readonly prefill: number; readonly decode: number };
  readonly tuning: Tuning;
}

/** Where a step stands. */
export interface Situation {
  readonly phase: "prefill" | "decode";
  /** Layers that run it; none outside the layers. */
  readonly layers: readonly number[];
  /** Whether the rows that leave the layer are the rows that enter it, so that columns need not be split by who needs them. */
  readonly sameRows: boolean;
  /** Numbers of the groups whose keys the layer keeps in a ring. */
  readonly rings: readonly number[];
  /** Numbers of the groups whose keys somebody reads. */
  readonly read: readonly number[];
  /** In decode: those of them whose keys outlive the step. */
  readonly kept: readonly number[];
  /** In decode: how many copies enter the layer, the last ones of the table's order. */
  readonly entering: number;
  /** In decode: whether this is the first layer, which no layer leaves anything undone for; false where none ever does. */
  readonly first: boolean;
}

export interface Choice {
  readonly when?: Expr;
  readonly kernel: Kernel;
  readonly workgroups: readonly [Expr, Expr, Expr];
}

export interface StepDraft {
  readonly name: string;
  readonly op?: Op;
  readonly rows?: RowClass;
  readonly when?: Expr;
  readonly choices: readonly Choice[];
  readonly bindings: Readonly<Record<string, BindingSource>>;
  /** Values of parameters that are not the symbol of the same name. */
  readonly parameters?: Readonly<Record<string, Expr | { readonly sample: SampleParameter }>>;
  /** The weight whose parts the step is repeated for, if it is split. */
  readonly partsOf?: string;
}

/**
 * Parameters of a kernel that are symbols of the manifest keep their names, so most steps give no values at all.
 * Throws InternalError when a kernel needs a binding or a parameter that nobody gives.
 */
export function finishStep(draft: StepDraft): Step {
  const { name, op, rows, when, choices, bindings, parameters = {}, partsOf } = draft;
  const origin = op?.origin;
  return {
    name,
    ...(rows !== undefined && { rows }),
    ...(when !== undefined && { when }),
    choices: choices.map((choice) => {
      for (const { name: buffer } of choice.kernel.buffers) {
        if (bindings[buffer] === undefined) throw new InternalError(`step ${name}: nothing is bound to ${buffer}`);
      }
      const given = choice.kernel.params.map(({ name: param }) => {
        const value = parameters[param] ?? (isSymbol(param) ? param : undefined);
        if (value === undefined) throw new InternalError(`step ${name}: no value for the parameter ${param}`);
        return [param, value] as const;
      });
      return {
        ...(choice.when !== undefined && { when: choice.when }),
        kernel: choice.kernel.name,
        workgroups: choice.workgroups,
        parameters: Object.fromEntries(given),
      };
    }),
    bindings,
    ...(partsOf !== undefined && { partsOf }),
    ...(origin !== undefined && { origin: `${origin.file.name}:${lineColumn(origin.file, origin.start).line}` }),
  };
}

const symbols: ReadonlySet<string> = new Set([
  ...["batch", "context", "slice", "splits", "max_rows", "rows", "part_base", "part_rows"],
  ...["sequences_at", "rows_at", "tiles_at", "sequence_stride", "row_base", "row_count", "tile_base", "tile_count"],
  ...["keep", "ring_slots", "scratch_slots"],
]);

function isSymbol(name: string): boolean {
  return symbols.has(name) || /^slots_\d+$/.test(name);
}

export const buffer = (name: string): BindingSource => ({ kind: "buffer", name });
export const weight = (name: string): BindingSource => ({ kind: "weight", name });
export const table = (name: string): BindingSource => ({ kind: "table", name });
export const control: BindingSource = { kind: "control" };

/** The same bindings with weights of the layer before, or of the last layer in a step after the layers. */
export function ofPreviousLayer(bindings: Readonly<Record<string, BindingSource>>): Record<string, BindingSource> {
  return Object.fromEntries(
    Object.entries(bindings).map(([name, source]) => [
      name,
      source.kind === "weight" ? { ...source, layer: "previous" as const } : source,
    ]),
  );
}

/** So many workgroups over x and y; kernels find their place with `flatWorkgroup`. */
export function flatWorkgroups(count: Expr, limit: number): [Expr, Expr, Expr] {
  return typeof count === "number" && count <= limit ? [count, 1, 1] : [min(count, limit), ceilDiv(count, limit), 1];
}

/** For people: what a step does to which value of the model. */
export function stepName(verb: string, op: Op): string {
  return `${verb} ${op.results[0]?.name ?? op.kind}`;
}
