/**
 * Whether a session can do what it is asked to; throws RequestError or ContextFull where not.
 */
import { ContextFull, RequestError } from "./errors.js";
import type { SessionShape } from "./shape.js";

/** Tokens for every sequence of a session, behind the positions that it has. */
export function assertTokens(
  ids: readonly ArrayLike<number>[],
  lengths: readonly number[],
  { batch, context }: SessionShape,
  vocab: number,
): void {
  if (ids.length !== batch) {
    throw new RequestError(`${ids.length} sequences are given and the session has ${batch}`, {
      details: { given: ids.length, batch },
    });
  }
  for (const [sequence, tokens] of ids.entries()) {
    if (tokens.length === 0)
      throw new RequestError(`sequence ${sequence} is given no token`, { details: { sequence } });
    const needed = lengths[sequence]! + tokens.length;
    if (needed > context) throw new ContextFull(context, needed);
    for (let at = 0; at < tokens.length; at++) {
      const id = tokens[at]!;
      if (!Number.isInteger(id) || id < 0 || id >= vocab) {
        throw new RequestError(`token ${at} of sequence ${sequence} is ${id}, and ids run from 0 to ${vocab - 1}`, {
          details: { sequence, at, id, vocab },
        });
      }
    }
  }
}

/** To how many positions each sequence is cut, given how many it has. */
export function assertCuts(cuts: readonly number[], lengths: readonly number[]): void {
  if (cuts.length !== lengths.length) {
    throw new RequestError(`${cuts.length} lengths are given and the session has ${lengths.length} sequences`, {
      details: { given: cuts.length, batch: lengths.length },
    });
  }
  for (const [sequence, length] of cuts.entries()) {
    const most = lengths[sequence]!;
    if (Number.isInteger(length) && length >= 0 && length <= most) continue;
    throw new RequestError(`sequence ${sequence} has ${most} positions and cannot be cut to ${length}`, {
      details: { sequence, length, most },
    });
  }
}
