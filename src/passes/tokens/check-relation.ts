/**
 * What cannot be meant by a relation, proved by the algebra and reported with a concrete example.
 *
 * Three checks: no query sees a key of a later step; every row that a prediction depends on sees some key; every copy is part of
 * some prediction. Where a relation is too costly to decide one of them, the report says so. Keys of later copies of the same
 * position are no error: a step computes all copies of its position layer by layer.
 */
import { relationDiagnostics } from "../../diagnostics/catalogue-relation.js";
import { label } from "../../diagnostics/define.js";
import type { Diagnostic, Label } from "../../diagnostics/diagnostic.js";
import { variable } from "../../ir/relation/affine.js";
import { setOfPredicate } from "../../ir/relation/from-predicate.js";
import {
  type IntegerSet,
  intersect,
  isEmpty,
  less,
  project,
  simplify,
  subtract,
  where,
} from "../../ir/relation/integer-set.js";
import type { Predicate, Token } from "../../ir/relation/predicate.js";
import { samplePoint } from "../../ir/relation/sample.js";
import { attempt } from "../../ir/relation/work.js";
import { copiesIn } from "../../runtime/key-group.js";
import { alternativesOf } from "./alternatives.js";
import { costliestTerm, withinBudget } from "./analysis-budget.js";
import type { AttentionSystem } from "./attention-system.js";
import { copiesOf } from "./copies-of.js";
import { DemandAnalysis, type GroupRows, remember } from "./demand.js";
import { FewPositions } from "./few-positions.js";
import { allRows, asKeys } from "./group-relation.js";
import { type KeyGroup, wholeGroups } from "./group-tokens.js";
import { tokenContext } from "./token-context.js";

const coordinates = ["q.pos", "q.copy", "k.pos", "k.copy"] as const;

/** Empty when the relations are sound. Throws a DiagnosticError where it cannot be proved that no query sees a later step. */
export function checkRelation(system: AttentionSystem): Diagnostic[] {
  const future = withinBudget(system, "what the attend relation lets queries see", () =>
    system.predicates.flatMap((predicate, index) => seesLaterStep(system, predicate, index)),
  );
  // Demand follows the relation backwards; with keys of later steps in it, it would not mean anything.
  if (future.length > 0) return future;
  const analysis = new DemandAnalysis(system, wholeGroups(system));
  const few = once(() => new FewPositions(system));
  return [...seesNothing(analysis, few), ...unusedCopies(analysis, few)];
}

/** Work on one step after which a question about rows is answered by examples, or not at all. */
const mostUnits = 200_000;

function once<T>(compute: () => T): () => T {
  let value: { readonly is: T } | undefined;
  return () => {
    value ??= { is: compute() };
    return value.is;
  };
}

function undecided(system: AttentionSystem, question: string): Diagnostic {
  const costly = costliestTerm(system.predicates);
  const labels = costly?.span === undefined ? [] : [label(costly.span, "this term is costly")];
  return relationDiagnostics.undecided({ question, term: costly?.text }, ...labels);
}

/** The layers that use a relation, if not all layers with attention do. */
function onlyLayer(system: AttentionSystem, predicate: number): number | undefined {
  if (system.predicates.length === 1) return undefined;
  const layer = system.layers.indexOf(predicate);
  return layer < 0 ? undefined : layer;
}

function seesLaterStep(system: AttentionSystem, predicate: Predicate, index: number): Diagnostic[] {
  const tokens = where(tokenContext(system.copies), less(variable("q.pos"), variable("k.pos")));
  for (const alternative of alternativesOf(predicate)) {
    const point = samplePoint(intersect(setOfPredicate(alternative), tokens), coordinates);
    if (point === undefined) continue;
    const query = { pos: point["q.pos"]!, copy: point["q.copy"]! };
    const key = { pos: point["k.pos"]!, copy: point["k.copy"]! };
    const data = { query, key, layer: onlyLayer(system, index) };
    return [relationDiagnostics.seesLaterStep(data, ...labelsOf(alternative, "this lets the query see it"))];
  }
  return [];
}

/**
 * One report per relation: the first layer from below where a demanded row is empty. Where demand is not exact, a row that only seems to be
 * demanded is no reason to complain; then an example among the first positions decides, or it is said that nothing did.
 */
function seesNothing(analysis: DemandAnalysis, few: () => FewPositions): Diagnostic[] {
  const { system } = analysis;
  const steady = analysis.steadyLayers();
  const blind = new Map<string, readonly Around[]>();
  const checked = new Map<Predicate, Set<GroupRows>>();
  const reported = new Set<Predicate>();
  let isOpen = false;
  const reports = system.layers.flatMap((index, layer) => {
    if (index === undefined) return [];
    const predicate = system.predicates[index]!;
    const { queries } = steady[layer]!;
    const known = checked.get(predicate) ?? new Set();
    checked.set(predicate, known);
    if (reported.has(predicate) || known.has(queries)) return [];
    known.add(queries);
    const rows = remember(blind, String(index), () =>
      analysis.groups.map((group) => blindRows(analysis, predicate, group)),
    );
    const found = attempt(mostUnits, () => ({ query: firstDemanded(analysis, rows, queries) }));
    if (found !== undefined && found.query === undefined) return [];
    const isExact = found !== undefined && rows.every(({ isExact }) => isExact) && analysis.approximation === undefined;
    const query = isExact ? found.query : few().blindQuery(layer);
    if (query === undefined) {
      isOpen = true;
      return [];
    }
    reported.add(predicate);
    const data = { query, layer: onlyLayer(system, index) };
    return [relationDiagnostics.seesNothing(data, ...labelsOf(predicate, "none of this holds for any key"))];
  });
  if (!isOpen || reports.length > 0) return reports;
  return [undecided(system, "every row that a prediction depends on sees a key")];
}

/** Rows over `k.row`: those in question, or more. */
interface Around {
  readonly rows: IntegerSet;
  readonly isExact: boolean;
}

/**
 * The rows of a group that see no key. Alternatives of the relation are taken one by one, cheap ones first: most often a row sees itself, and
 * then nothing else matters.
 */
function blindRows(analysis: DemandAnalysis, predicate: Predicate, group: KeyGroup): Around {
  let rows = allRows(group);
  let open = alternativesOf(predicate).flatMap((alternative) => analysis.groups.map((keys) => ({ alternative, keys })));
  for (const units of [mostUnits / 20, mostUnits]) {
    open = open.filter(({ alternative, keys }) => {
      if (isEmpty(rows)) return false;
      const left = attempt(units, () => {
        const seeing = project(analysis.relation(alternative, group, keys), ["k.row"]);
        return simplify(subtract(rows, asKeys(simplify(seeing))));
      });
      rows = left ?? rows;
      return left === undefined;
    });
  }
  return { rows, isExact: open.length === 0 };
}

function firstDemanded({ groups }: DemandAnalysis, rows: readonly Around[], queries: GroupRows): Token | undefined {
  for (const [g, group] of groups.entries()) {
    const demanded = intersect(queries[g]!, rows[g]!.rows);
    const row = isEmpty(demanded) ? undefined : samplePoint(demanded, ["k.row"])?.["k.row"];
    if (row !== undefined) return tokenOf(group, row);
  }
  return undefined;
}

function tokenOf(group: KeyGroup, row: number) {
  const pos = Math.floor(row / copiesIn(group));
  return { pos, copy: group.firstCopy + row - pos * copiesIn(group) };
}

/** Runs of copies of which no row is ever computed. What is not in a set around the demanded rows is not in that of the demanded ones. */
function unusedCopies(analysis: DemandAnalysis, few: () => FewPositions): Diagnostic[] {
  const { system, groups } = analysis;
  const [first] = analysis.steadyLayers();
  if (first === undefined) return [];
  const mentioned = attempt(mostUnits, () =>
    groups.flatMap((group, g) => [...copiesOf(group, first.queries[g]!), ...copiesOf(group, first.keys[g]!)]),
  );
  const perhapsUsed = mentioned ?? [[1, system.copies] as const];
  const reports = copiesOutside(perhapsUsed, system.copies).map((run) => relationDiagnostics.unusedCopy(run));
  if (mentioned !== undefined && analysis.approximation === undefined) return reports;
  const used = [...few().usedCopies()].map((copy) => [copy, copy] as const);
  const decided = copiesOutside(perhapsUsed, system.copies).map((run) => [run.first, run.last] as const);
  const open = copiesOutside([...used, ...decided], system.copies).map((run) =>
    run.first === run.last ? `copy ${run.first}` : `copies ${run.first} to ${run.last}`,
  );
  return open.length === 0 ? reports : [...reports, undecided(system, `a prediction depends on ${open.join(", ")}`)];
}

/** Runs of copies from 1 to `copies` that are in none of the intervals. */
function copiesOutside(intervals: readonly (readonly [number, number])[], copies: number) {
  const runs: { readonly first: number; readonly last: number }[] = [];
  let next = 1;
  for (const [first, last] of [...intervals].sort((a, b) => a[0] - b[0])) {
    if (first > next) runs.push({ first: next, last: first - 1 });
    next = Math.max(next, last + 1);
  }
  if (next <= copies) runs.push({ first: next, last: copies });
  return runs;
}

function labelsOf({ span }: Predicate, text: string): Label[] {
  return span === undefined ? [] : [label(span, text)];
}
