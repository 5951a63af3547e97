/**
 * What predictions at the first few positions depend on, by looking at every pair of tokens: a proof by example where the algebra has only a
 * set around the exact one.
 */
import { sees, type Token } from "../../ir/relation/predicate.js";
import type { AttentionSystem } from "./attention-system.js";

/** Tokens that are looked at: a relation is asked for all pairs of them. */
const mostTokens = 256;

export class FewPositions {
  readonly tokens: readonly Token[];
  /** Per relation and query, the places of the keys that it sees among the tokens. */
  private readonly seen: readonly (readonly (readonly number[])[])[];
  /** Per layer, by places: rows whose query some prediction depends on. */
  private readonly queries: readonly (readonly boolean[])[];
  private readonly entering: readonly boolean[];

  /** For relations in which no query sees a later position. */
  constructor(private readonly system: AttentionSystem) {
    const { copies, predictCopy, predicates, layers } = system;
    const positions = Math.max(1, Math.floor(mostTokens / copies));
    this.tokens = Array.from({ length: positions * copies }, (_, place) => ({
      pos: Math.floor(place / copies),
      copy: (place % copies) + 1,
    }));
    this.seen = predicates.map((predicate) =>
      this.tokens.map((query) =>
        this.tokens.flatMap((key, place) => (key.pos <= query.pos && sees(predicate, query, key) ? [place] : [])),
      ),
    );
    let rows: readonly boolean[] = this.tokens.map(({ copy }) => copy === predictCopy);
    const queries: (readonly boolean[])[] = [];
    for (const which of [...layers].reverse()) {
      queries.unshift(rows);
      const next = [...rows];
      if (which !== undefined) {
        for (const [place, demanded] of rows.entries()) {
          if (demanded) for (const key of this.seen[which]![place]!) next[key] = true;
        }
      }
      rows = next;
    }
    this.queries = queries;
    this.entering = rows;
  }

  /** A row of a layer that a prediction depends on and that sees no key. */
  blindQuery(layer: number): Token | undefined {
    const which = this.system.layers[layer];
    if (which === undefined) return undefined;
    return this.tokens.find((_, place) => this.queries[layer]![place] && this.seen[which]![place]!.length === 0);
  }

  /** Copies of which some prediction depends on a row. */
  usedCopies(): ReadonlySet<number> {
    return new Set(this.tokens.filter((_, place) => this.entering[place]).map(({ copy }) => copy));
  }
}
