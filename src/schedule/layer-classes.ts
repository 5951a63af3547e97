/**
 * Which layers run the same steps.
 *
 * The graph has one body per class of layers; retention and demand may split a class further: a layer whose hidden keys nobody reads
 * stores none, and a layer that leaves fewer rows than enter it computes some columns in fewer rows.
 */
import type { Layers } from "../ir/graph/ops.js";
import type { RowRules } from "../runtime/manifest.js";
import type { ScheduleFacts } from "./facts.js";
import type { Situation } from "./step-builder.js";

/** Layers that run the same steps. */
export interface ScheduleClass {
  /** Class of the graph's layer loop: which body. */
  readonly graphClass: number;
  readonly situation: Situation;
}

export interface LayerClasses {
  readonly classes: readonly ScheduleClass[];
  /** Layer → class. */
  readonly classOf: readonly number[];
}

/** @param beginsAlike whether the first layer begins as the others do: false where each leaves something to the next in decode */
export function classifyLayers(
  loop: Layers,
  facts: ScheduleFacts,
  phase: Situation["phase"],
  beginsAlike = true,
): LayerClasses {
  const traits = (layer: number) => ({
    ...traitsOf(facts, phase, layer, loop.count),
    first: phase === "decode" && !beginsAlike && layer === 0,
  });
  const classOf: number[] = [];
  const members = new Map<string, { readonly number: number; readonly layers: number[] }>();
  for (let layer = 0; layer < loop.count; layer++) {
    const key = JSON.stringify([loop.classOf[layer], traits(layer)]);
    const known = members.get(key) ?? { number: members.size, layers: [] };
    members.set(key, known);
    known.layers.push(layer);
    classOf.push(known.number);
  }
  const classes = [...members.values()].map(({ layers }) => ({
    graphClass: loop.classOf[layers[0]!]!,
    situation: { phase, layers, ...traits(layers[0]!) },
  }));
  return { classes, classOf };
}

/** What distinguishes layers with one body. */
function traitsOf(facts: ScheduleFacts, phase: Situation["phase"], layer: number, layers: number) {
  const kept = facts.retention[layer]!;
  const where = (holds: (layout: string) => boolean) =>
    kept.flatMap(({ layout }, group) => (holds(layout) ? [group] : []));
  return {
    // Rings are written in place in decode: there it only matters what is kept at all.
    rings: phase === "prefill" ? where((layout) => layout === "ring") : [],
    read: where((layout) => layout !== "unread"),
    kept: phase === "decode" ? where((layout) => layout === "forever" || layout === "ring") : [],
    entering: phase === "decode" ? facts.rows.decode.input[layer]! : 0,
    sameRows: phase === "prefill" ? sameRows(facts.rows, layer, layers) : true,
  };
}

/** Whether prefill leaves as many rows as enter the layer. */
function sameRows({ prefill }: Pick<RowRules, "prefill">, layer: number, layers: number): boolean {
  return layer + 1 < layers && prefill.layers[layer] === prefill.layers[layer + 1];
}
