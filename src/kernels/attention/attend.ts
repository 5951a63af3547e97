/**
 * The core of attention: a block of query rows against ranges of keys, with an online softmax.
 *
 * Keys pass through workgroup memory a tile at a time, each loaded from the cache once for all rows of the block. Two barriers a tile:
 *
 *   score    scorers multiply the tile's keys with their queries, mask, and publish the highest score of each row
 *   ──────── barrier
 *   weigh    scores become weights 2^(score - peak); meanwhile the tile's values and the next tile's keys are loaded
 *   ──────── barrier
 *   gather   gatherers add the weighted values to their sums, which they first scale down if the peak has risen
 *
 * The next tile is scored while others still gather: it touches nothing that gathering reads.
 * Scores are kept in units of log 2, which makes every exponential a plain 2^x.
 */
import { min, select } from "../../ir/kernel/builder.js";
import { finish, type Gathered, gather, makeGatherer } from "./gather.js";
import type { BoundGroup, KeyRange } from "./key-ranges.js";
import { type AttentionBody, sharedMemory, tileLoader } from "./key-tile.js";
import { pack } from "./row-vectors.js";
import { isMasked, makeScorer, maskedScore, publishPeaks, score, visibility, weigh, whereMasked } from "./score.js";

/** The keys that a workgroup takes: for each group the range of its part; `full…` as for all of the block's keys. */
export interface TakenKeys {
  readonly groups: readonly BoundGroup[];
  readonly ranges: readonly KeyRange[];
}

export function attend(context: Omit<AttentionBody, "shared">, { groups, ranges }: TakenKeys): Gathered {
  const { k, tiling } = context;
  const body: AttentionBody = { ...context, shared: sharedMemory(k, tiling) };
  const scorer = makeScorer(body, groups);
  const gatherer = makeGatherer(body);

  for (const [index, group] of groups.entries()) {
    const range = ranges[index]!;
    const tiles = tileLoader(body, group, range);
    k.comment(describeGroup(group));
    k.if(range.from.lt(range.to), () => {
      const visible = visibility(body, scorer, group, range);
      tiles.loadKeys(range.from);
      k.barrier();
      k.for("start", { from: range.from, to: range.to, step: tiling.keys }, (start) => {
        const masked = isMasked(body, group, range, start);
        const scores = score(body, scorer, (keyScores, key) => {
          whereMasked(k, masked, () => {
            const seen = visible(k.let("index", start.add(key.toI32())));
            keyScores.set(pack(seen.map((sees, row) => select(sees, keyScores.component(row), maskedScore))));
          });
        });
        k.barrier();
        weigh(body, scorer, scores);
        tiles.loadValues(start);
        const next = k.let("next", start.add(tiling.keys));
        k.if(next.lt(range.to), () => tiles.loadKeys(next));
        k.barrier();
        gather(body, gatherer, masked, min(range.to.sub(start).toU32(), tiling.keys));
      });
    });
  }
  publishPeaks(body, scorer);
  return finish(body, gatherer);
}

function describeGroup({ group: { name, firstCopy, lastCopy } }: BoundGroup): string {
  return firstCopy === lastCopy ? `${name}: copy ${firstCopy}` : `${name}: copies ${firstCopy} to ${lastCopy}`;
}
