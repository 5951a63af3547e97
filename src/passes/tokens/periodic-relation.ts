/**
 * Keys of relations that repeat along the positions, found by following them place by place: the same sets as by projection, where that
 * costs too much.
 */
import { contains, type IntegerSet, project } from "../../ir/relation/integer-set.js";
import type { Predicate } from "../../ir/relation/predicate.js";
import { attempt, spend } from "../../ir/relation/work.js";
import { copiesIn } from "../../runtime/key-group.js";
import type { DemandAnalysis, GroupRows } from "./demand.js";
import type { KeyGroup } from "./group-tokens.js";
import { joinPlaces } from "./join-places.js";
import { listRows, type PromptEnd } from "./repeating-rows.js";
import { type Repetition, repetitionOf } from "./repetition.js";
import { SightTable } from "./sight-table.js";

/** Work on one question. */
const mostUnits = 500_000;

/** More places than this make no set that anybody wants to go on with. */
const mostPlaces = 128;

/** The relations of a model place by place; undefined where they do not repeat. */
export class PeriodicRelation {
  private readonly sights = new WeakMap<Predicate, SightTable>();

  private constructor(
    readonly analysis: Pick<DemandAnalysis, "system" | "groups">,
    readonly repetition: Repetition,
  ) {}

  static of(analysis: Pick<DemandAnalysis, "system" | "groups">): PeriodicRelation | undefined {
    const { system, groups } = analysis;
    if (groups.some(({ firstPos, endPos }) => firstPos !== undefined || endPos !== undefined)) return undefined;
    const repetition = repetitionOf(system.predicates, system.copies);
    if (repetition === undefined || repetition.period > mostPlaces) return undefined;
    return new PeriodicRelation(analysis, repetition);
  }

  /** Of one of the model's relations, or of a part of one. */
  sight(predicate: Predicate): SightTable {
    const known = this.sights.get(predicate);
    if (known !== undefined) return known;
    const sight = new SightTable(predicate, this.repetition, this.analysis.system.copies);
    this.sights.set(predicate, sight);
    return sight;
  }

  /** The keys that any of the queries sees, where these repeat from the first position on. */
  keysSeen(predicate: Predicate, queries: GroupRows, group: KeyGroup): IntegerSet | undefined {
    return attempt(mostUnits, () => {
      const { period } = this.repetition;
      const demanded = this.pattern(queries);
      const sight = this.sight(predicate);
      const perKey = Math.ceil((demanded.length * sight.distances) / period / 64);
      const isSeen = (place: number, ofKey: number) =>
        demanded.some(({ of, copy }) => {
          // Distances at which the query's place is `of`.
          for (let distance = (of - place + period) % period; distance < sight.distances; distance += period) {
            if (sight.sees(of, copy, distance, ofKey)) return true;
          }
          return false;
        });
      const everywhere = this.endAt(0, 2 * period);
      const rows = listRows(everywhere, period, (distance, copy) => {
        spend(perKey);
        return isSeen((everywhere.last - distance) % period, copy);
      });
      // The same before every end: what is not listed repeats. So which end it is, is of no account.
      const beforeEnd = joinPlaces(
        group,
        Array.from({ length: period }, (_, place) => ({
          end: this.endAt(place, 2 * period),
          rows: { ...rows, listed: 0 },
        })),
      );
      return beforeEnd && project(beforeEnd, ["n"]);
    });
  }

  /** The keys before position n that one of the queries at position n or later sees. */
  keysSeenLater(predicate: Predicate, queries: GroupRows, group: KeyGroup): IntegerSet | undefined {
    return attempt(mostUnits, () => {
      const { period, reach } = this.repetition;
      const { firstCopy, lastCopy } = group;
      const demanded = this.pattern(queries);
      const sight = this.sight(predicate);
      const listed = reach + 2 * period;
      const perKey = Math.ceil((demanded.length * sight.distances) / period / 64);
      const places = Array.from({ length: period }, (_, place) => {
        const end = this.endAt(place, listed);
        const rows = listRows(end, listed, (distance, ofKey) => {
          if (ofKey < firstCopy || ofKey > lastCopy) return false;
          const ofPlace = (end.last - distance) % period;
          spend(perKey);
          return demanded.some(({ of, copy }) => {
            const first = distance + 1 + ((((of - ofPlace - distance - 1) % period) + period) % period);
            for (let back = first; back < Math.max(distance + 1, reach) + period; back += period) {
              if (sight.sees(of, copy, back, ofKey)) return true;
            }
            return false;
          });
        });
        return { end, rows };
      });
      return joinPlaces(group, places);
    });
  }

  /** A prompt that ends at a place, with at least so many positions. */
  endAt(place: number, least: number): PromptEnd {
    const { period } = this.repetition;
    return { period, copies: this.analysis.system.copies, last: period * (Math.ceil(least / period) + 1) + place };
  }

  /** The tokens of one period that are among the rows. */
  private pattern(rows: GroupRows): { readonly of: number; readonly copy: number }[] {
    const { period } = this.repetition;
    return this.analysis.groups.flatMap((group, index) =>
      Array.from({ length: period * copiesIn(group) }, (_, row) => row)
        .filter((row) => contains(rows[index]!, { "k.row": row + period * copiesIn(group) }))
        .map((row) => ({
          of: Math.floor(row / copiesIn(group)),
          copy: group.firstCopy + (row % copiesIn(group)),
        })),
    );
  }
}
