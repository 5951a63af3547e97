/**
 * Backward demand: which rows a layer must compute, so that a set of later reads is served.
 *
 * The relations between the groups of a model, and images of row sets under them. Images are kept by their text, because layers
 * that share a relation ask for the same ones again.
 */
import { relationDiagnostics } from "../../diagnostics/catalogue-relation.js";
import { label } from "../../diagnostics/define.js";
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import type { Constraint } from "../../ir/relation/constraint.js";
import { setOfPredicate } from "../../ir/relation/from-predicate.js";
import { hullOf } from "../../ir/relation/hull.js";
import { type IntegerSet, isSubset, nothing, simplify, union } from "../../ir/relation/integer-set.js";
import type { Predicate } from "../../ir/relation/predicate.js";
import { attempt } from "../../ir/relation/work.js";
import { costliestTerm } from "./analysis-budget.js";
import type { AttentionSystem } from "./attention-system.js";
import { allRows, betweenGroups, keysSeenBy, rowsOfCopy } from "./group-relation.js";
import type { KeyGroup } from "./group-tokens.js";
import { PeriodicRelation } from "./periodic-relation.js";

/** One set over `k.row` per group, in the order of the groups. */
export type GroupRows = readonly IntegerSet[];

export interface SteadyLayer {
  /** Rows, at any position, whose query some prediction at some later position depends on. */
  readonly queries: GroupRows;
  /** Rows whose key and value such a query reads. */
  readonly keys: GroupRows;
}

/** The relations of one model between its groups, and what follows from them. Holds what it has computed. */
export class DemandAnalysis {
  private readonly predicates = new Map<Predicate, number>();
  private readonly tokenRelations = new Map<string, IntegerSet>();
  private readonly relations = new Map<string, IntegerSet>();
  private readonly images = new Map<string, IntegerSet>();
  private readonly everyRow: GroupRows;
  private steady: readonly SteadyLayer[] | undefined;
  private foundPeriodic: { readonly relation: PeriodicRelation | undefined } | undefined;
  private warning: Diagnostic | undefined;

  constructor(
    readonly system: AttentionSystem,
    readonly groups: readonly KeyGroup[],
  ) {
    this.everyRow = groups.map((group) => allRows(group));
  }

  /** The relation of a layer, undefined where it has no attention. */
  predicateOf(layer: number): Predicate | undefined {
    const index = this.system.layers[layer];
    return index === undefined ? undefined : this.system.predicates[index]!;
  }

  /** Who sees whom between two groups, over `q.row` and `k.row`. */
  relation(predicate: Predicate, queries: KeyGroup, keys: KeyGroup): IntegerSet {
    const id = this.idOf(predicate);
    return remember(this.relations, `${id} ${queries.name} ${keys.name}`, () => {
      const relation = remember(this.tokenRelations, String(id), () => setOfPredicate(predicate));
      return betweenGroups(relation, queries, keys);
    });
  }

  /** The keys of a group that the given queries see. */
  keysSeen(predicate: Predicate, queries: GroupRows, keys: KeyGroup): IntegerSet {
    const id = this.idOf(predicate);
    const images = queries.flatMap((rows, index) =>
      rows.map((part) =>
        remember(this.images, `${id} ${index} ${keys.name} ${part.key}`, () =>
          keysSeenBy([part], this.relation(predicate, this.groups[index]!, keys)),
        ),
      ),
    );
    return union(...images);
  }

  private idOf(predicate: Predicate): number {
    const known = this.predicates.get(predicate);
    if (known !== undefined) return known;
    this.predicates.set(predicate, this.predicates.size);
    return this.predicates.size - 1;
  }

  /** The relations place by place; undefined where they do not repeat along the positions. */
  get periodic(): PeriodicRelation | undefined {
    this.foundPeriodic ??= { relation: PeriodicRelation.of(this) };
    return this.foundPeriodic.relation;
  }

  /** A warning once some result is not exact but contains the exact one. */
  get approximation(): Diagnostic | undefined {
    return this.warning;
  }

  /** The exact result, or a sound one where that costs too much. */
  exactOr<T>(exact: () => T, sound: () => T): T {
    const result = attempt(stepUnits, () => ({ value: exact() }));
    if (result !== undefined) return result.value;
    const costly = costliestTerm(this.system.predicates);
    const labels = costly?.span === undefined ? [] : [label(costly.span, "this term is costly")];
    this.warning = relationDiagnostics.approximated({ term: costly?.text }, ...labels);
    return sound();
  }

  /** The rows of each layer that any output of any step depends on, last layer last. */
  steadyLayers(): readonly SteadyLayer[] {
    this.steady ??= this.findSteadyLayers();
    return this.steady;
  }

  private findSteadyLayers(): readonly SteadyLayer[] {
    const layers: SteadyLayer[] = [];
    let queries: GroupRows = this.groups.map((group) =>
      holdsCopy(group, this.system.predictCopy) ? rowsOfCopy(group, this.system.predictCopy) : nothing,
    );
    const known: { readonly predicate: Predicate | undefined; readonly state: SteadyState }[] = [];
    for (let index = this.system.layers.length - 1; index >= 0; index--) {
      const predicate = this.predicateOf(index);
      let state = known.find((other) => other.predicate === predicate && other.state.layer.queries === queries)?.state;
      if (state === undefined) {
        state = this.steadyState(predicate, queries);
        known.push({ predicate, state });
      }
      layers.unshift(state.layer);
      queries = state.input;
    }
    return layers;
  }

  private steadyState(predicate: Predicate | undefined, queries: GroupRows): SteadyState {
    if (predicate === undefined) {
      return { layer: { queries, keys: this.groups.map(() => nothing) }, input: queries };
    }
    const { everyRow } = this;
    const everything: SteadyState = { layer: { queries, keys: everyRow }, input: everyRow };
    // Below a layer of which nothing is known there is nothing to find out.
    if (queries === everyRow) return everything;
    const from = (rows: GroupRows): SteadyState => {
      const keys = this.groups.map((group) => simplify(this.keysSeen(predicate, rows, group)));
      return { layer: { queries, keys }, input: joinRows(rows, keys) };
    };
    const placeByPlace = (rows: GroupRows): SteadyState | undefined => {
      const keys = this.groups.map((group) => this.periodic?.keysSeen(predicate, rows, group));
      if (!keys.every((set) => set !== undefined)) return undefined;
      return { layer: { queries, keys }, input: joinRows(rows, keys) };
    };
    return this.exactOr(
      () => attempt(followedUnits, () => from(queries)) ?? placeByPlace(queries) ?? from(queries),
      () => attempt(stepUnits, () => from(hullsOf(queries))) ?? everything,
    );
  }
}

/** Work on one question after which relations that repeat are followed place by place; library variants need less. */
export const followedUnits = 30_000;

/** Work on one layer after which simpler sets take the place of exact ones. */
export const stepUnits = 200_000;

interface SteadyState {
  readonly layer: SteadyLayer;
  /** Rows that enter the layer: the queries of the layer below. */
  readonly input: GroupRows;
}

/** Simple sets around rows, group by group. */
const hullsOf = (rows: GroupRows, context: readonly Constraint[] = []): GroupRows =>
  rows.map((set) => hullOf(set, "k.row", context));

export const holdsCopy = (group: KeyGroup, copy: number): boolean => group.firstCopy <= copy && copy <= group.lastCopy;

/** The union of rows, group by group; the very same array where nothing is added, so that callers see a fixed point. */
export function joinRows(rows: GroupRows, more: GroupRows, context: readonly Constraint[] = []): GroupRows {
  const joined = rows.map((set, index) => join(set, more[index]!, context));
  return joined.every((set, index) => set === rows[index]) ? rows : joined;
}

function join(set: IntegerSet, more: IntegerSet, context: readonly Constraint[]): IntegerSet {
  if (textOf(set) === textOf(more) || isSubset(more, set)) return set;
  // Demand grows from layer to layer, so most often the new rows contain the old ones.
  return isSubset(set, more) ? more : simplify(union(set, more), context);
}

/** Equal for sets of the same disjuncts in the same order. */
export const textOf = (set: IntegerSet): string => set.map(({ key }) => key).join(" ∨ ");

export function remember<T>(store: Map<string, T>, key: string, compute: () => T): T {
  const known = store.get(key);
  if (known !== undefined) return known;
  const value = compute();
  store.set(key, value);
  return value;
}
