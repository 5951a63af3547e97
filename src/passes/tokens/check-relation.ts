/**
 * What cannot be meant by a relation, proved by the algebra and reported with a concrete example.
 *
 * Three checks: no query sees a key of a later step; every row that a prediction depends on sees some key; every copy is part of
 * some prediction. Keys of later copies of the same position are no error: a step computes all copies of its position layer by layer.
 */
import { relationDiagnostics } from "../../diagnostics/catalogue-relation.js";
import { label } from "../../diagnostics/define.js";
import type { Diagnostic, Label } from "../../diagnostics/diagnostic.js";
import { constant, variable } from "../../ir/relation/affine.js";
import { setOfPredicate } from "../../ir/relation/from-predicate.js";
import { atMost, intersect, isEmpty, less, project, simplify, subtract, where } from "../../ir/relation/integer-set.js";
import type { Predicate } from "../../ir/relation/predicate.js";
import { samplePoint } from "../../ir/relation/sample.js";
import { attempt } from "../../ir/relation/work.js";
import { alternativesOf } from "./alternatives.js";
import { withinBudget } from "./analysis-budget.js";
import type { AttentionSystem } from "./attention-system.js";
import { copiesOf } from "./copies-of.js";
import { DemandAnalysis, type GroupRows } from "./demand.js";
import { asKeys, sizeOf } from "./group-relation.js";
import { type KeyGroup, wholeGroups } from "./group-tokens.js";

const COORDINATES = ["q.pos", "q.copy", "k.pos", "k.copy"] as const;

/** Empty when the relations are sound. Throws a DiagnosticError where it cannot be proved that no query sees a later step. */
export function checkRelation(system: AttentionSystem): Diagnostic[] {
  const future = withinBudget(system, "what the attend relation lets queries see", () =>
    system.predicates.flatMap((predicate, index) => seesLaterStep(system, predicate, index)),
  );
  // Demand follows the relation backwards; with keys of later steps in it, it would not mean anything.
  if (future.length > 0) return future;
  const analysis = new DemandAnalysis(system, wholeGroups(system));
  const found = attempt(UNITS, () => [...seesNothing(analysis), ...unusedCopies(analysis)]) ?? [];
  // Rows that only seem to be demanded are no reason to complain.
  return analysis.approximation === undefined ? found : [];
}

/** Work after which rows that see nothing are not looked for. */
const UNITS = 1_000_000;

/** The layers that use a relation, if not all layers with attention do. */
function onlyLayer(system: AttentionSystem, predicate: number): number | undefined {
  if (system.predicates.length === 1) return undefined;
  const layer = system.layers.indexOf(predicate);
  return layer < 0 ? undefined : layer;
}

function seesLaterStep(system: AttentionSystem, predicate: Predicate, index: number): Diagnostic[] {
  const tokens = where(
    ...["q", "k"].flatMap((side) => [
      atMost(constant(0), variable(`${side}.pos`)),
      atMost(constant(1), variable(`${side}.copy`)),
      atMost(variable(`${side}.copy`), constant(system.copies)),
    ]),
    less(variable("q.pos"), variable("k.pos")),
  );
  for (const alternative of alternativesOf(predicate)) {
    const point = samplePoint(intersect(setOfPredicate(alternative), tokens), COORDINATES);
    if (point === undefined) continue;
    const query = { pos: point["q.pos"]!, copy: point["q.copy"]! };
    const key = { pos: point["k.pos"]!, copy: point["k.copy"]! };
    const data = { query, key, layer: onlyLayer(system, index) };
    return [relationDiagnostics.seesLaterStep(data, ...labelsOf(alternative, "this lets the query see it"))];
  }
  return [];
}

/** One report per relation: the first layer from below where a demanded row is empty. */
function seesNothing(analysis: DemandAnalysis): Diagnostic[] {
  const { system, groups } = analysis;
  const steady = analysis.steadyLayers();
  const checked = new Map<Predicate, Set<GroupRows>>();
  const reported = new Set<Predicate>();
  return system.layers.flatMap((index, layer) => {
    if (index === undefined) return [];
    const predicate = system.predicates[index]!;
    const { queries } = steady[layer]!;
    const known = checked.get(predicate) ?? new Set();
    checked.set(predicate, known);
    if (reported.has(predicate) || known.has(queries)) return [];
    known.add(queries);
    const query = firstBlindQuery(analysis, predicate, queries);
    if (query === undefined) return [];
    reported.add(predicate);
    const data = { query, layer: onlyLayer(system, index) };
    return [relationDiagnostics.seesNothing(data, ...labelsOf(predicate, "none of this holds for any key"))];
  });

  function firstBlindQuery(of: DemandAnalysis, predicate: Predicate, queries: GroupRows) {
    for (const [g, group] of groups.entries()) {
      const seeing = groups.flatMap((keys) => project(of.relation(predicate, group, keys), ["k.row"]));
      const blind = subtract(queries[g]!, asKeys(simplify(seeing)));
      if (isEmpty(blind)) continue;
      const row = samplePoint(blind, ["k.row"])?.["k.row"];
      if (row !== undefined) return tokenOf(group, row);
    }
    return undefined;
  }
}

function tokenOf(group: KeyGroup, row: number) {
  const pos = Math.floor(row / sizeOf(group));
  return { pos, copy: group.firstCopy + row - pos * sizeOf(group) };
}

/** Runs of copies of which no row is ever computed. */
function unusedCopies(analysis: DemandAnalysis): Diagnostic[] {
  const { system, groups } = analysis;
  const { queries, keys } = analysis.steadyLayers()[0] ?? { queries: [], keys: [] };
  if (queries.length === 0) return [];
  const used = groups.flatMap((group, g) => [...copiesOf(group, queries[g]!), ...copiesOf(group, keys[g]!)]);
  const reports: Diagnostic[] = [];
  let next = 1;
  for (const [first, last] of used.sort((a, b) => a[0] - b[0])) {
    if (first > next) reports.push(relationDiagnostics.unusedCopy({ first: next, last: first - 1 }));
    next = Math.max(next, last + 1);
  }
  if (next <= system.copies) reports.push(relationDiagnostics.unusedCopy({ first: next, last: system.copies }));
  return reports;
}

function labelsOf({ span }: Predicate, text: string): Label[] {
  return span === undefined ? [] : [label(span, text)];
}
