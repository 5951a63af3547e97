/** Passes of one workgroup over the logits of one sequence. */
import { f32, type KernelBuilder, type Range, u32, type Value, vectorOf } from "../../ir/kernel/builder.js";

export interface Vocabulary {
  readonly size: number;
  /** Runs `body` for the logit of every token, spread over the workgroup; an invocation meets its tokens in rising order. */
  each(body: (logit: Value, token: Value) => void): void;
}

/** Binds `logits`, f32 [batch][vocab]; workgroup x reads those of sequence x. */
export function bindLogits(k: KernelBuilder, vocab: number): Vocabulary {
  const lanes = vocab % 4 === 0 ? 4 : vocab % 2 === 0 ? 2 : 1;
  const logits = k.read("logits", vectorOf("f32", lanes));
  const vectors = vocab / lanes;
  return {
    size: vocab,
    each(body) {
      k.for("vector", { from: k.localId, to: u32(vectors), step: k.workgroupSize }, (vector) => {
        const loaded = k.let("logits_at", logits.at(k.workgroupId.x.mul(vectors).add(vector)));
        for (let lane = 0; lane < lanes; lane++) {
          const token = lanes === 1 ? vector : k.let("token", vector.mul(lanes).add(lane));
          body(lanes === 1 ? loaded : k.let("logit", loaded.component(lane)), token);
        }
      });
    },
  };
}

/** Below every score that counts; finite. */
export const lowestScore = -3e38;
const noToken = 0xffffffff;

/** A token and its score. */
export interface Best {
  readonly score: Value;
  readonly token: Value;
}

/**
 * The token with the highest score, the smallest of those that share it. All invocations get it.
 *
 * A token whose score is `lowestScore` is left out.
 */
export function bestToken(
  k: KernelBuilder,
  vocabulary: Vocabulary,
  score: (logit: Value, token: Value) => Value,
): Best {
  const best = k.var("best", f32(lowestScore));
  const chosen = k.var("chosen", u32(noToken));
  vocabulary.each((logit, token) => {
    const own = k.let("score", score(logit, token));
    k.if(own.gt(best), () => {
      best.set(own);
      chosen.set(token);
    });
  });
  return bestOverWorkgroup(k, best, chosen);
}

/** Two rounds: a few invocations pick the best of every `runs`-th entry, then all pick the best of those. */
function bestOverWorkgroup(k: KernelBuilder, score: Value, token: Value): Best {
  const size = k.workgroupSize;
  const runs = 2 ** Math.floor(Math.log2(size) / 2);
  const all = entries(k, "best", size);
  const ofRuns = entries(k, "run", runs);
  all.set(k.localId, { score, token });
  k.barrier();
  k.if(k.localId.lt(runs), () => {
    ofRuns.set(k.localId, bestEntry(k, all, { from: k.localId, to: size, step: runs }));
  });
  k.barrier();
  return bestEntry(k, ofRuns, { from: 0, to: runs, step: 1 });
}

interface Entries {
  at(place: Value): Best;
  set(place: Value, entry: Best): void;
}

function entries(k: KernelBuilder, name: string, length: number): Entries {
  const scores = k.workgroupArray(`${name}_scores`, "f32", length);
  const tokens = k.workgroupArray(`${name}_tokens`, "u32", length);
  return {
    at: (place) => ({ score: scores.at(place), token: tokens.at(place) }),
    set(place, { score, token }) {
      scores.set(place, score);
      tokens.set(place, token);
    },
  };
}

function bestEntry(k: KernelBuilder, among: Entries, range: Range & { readonly to: number }): Best {
  const best = k.var("best_score", f32(lowestScore));
  const chosen = k.var("best_token", u32(noToken));
  k.for("entry", { ...range, to: u32(range.to) }, (entry) => {
    const { score, token } = among.at(entry);
    const other = { score: k.let("other_score", score), token: k.let("other_token", token) };
    k.if(other.score.gt(best).or(other.score.eq(best).and(other.token.lt(chosen))), () => {
      best.set(other.score);
      chosen.set(other.token);
    });
  });
  return { score: best, token: chosen };
}
