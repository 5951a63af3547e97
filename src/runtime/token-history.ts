/**
 * The token ids of a session's sequences: what has to be computed again when a sequence is cut back is computed from them.
 *
 * Sampled tokens go from step to step on the device, so some of them are known only once they have been waited for.
 */

/** One id per sequence. */
type SampledIds = () => Promise<readonly number[]>;

/** Ids that were added to every sequence. */
type Entry =
  | { readonly kind: "given"; readonly ids: readonly ArrayLike<number>[] }
  | { readonly kind: "sampled"; readonly wait: SampledIds };

export class TokenHistory {
  readonly #ids: number[][];
  /** What came after `#ids`, in order. */
  #entries: Entry[] = [];

  constructor(batch: number) {
    this.#ids = Array.from({ length: batch }, () => []);
  }

  /** Ids of each sequence, which the history keeps. */
  add(ids: readonly ArrayLike<number>[]): void {
    this.#entries.push({ kind: "given", ids: ids.map((tokens) => Array.from(tokens)) });
  }

  addSampled(wait: SampledIds): void {
    this.#entries.push({ kind: "sampled", wait });
  }

  /** Forgets what comes after so many positions of each sequence, and waits for the ids before. */
  async cut(lengths: readonly number[]): Promise<void> {
    await this.#settle();
    for (const [sequence, length] of lengths.entries()) this.#ids[sequence]!.length = length;
  }

  /** All ids of a sequence. */
  async idsOf(sequence: number): Promise<readonly number[]> {
    await this.#settle();
    return this.#ids[sequence]!;
  }

  async #settle(): Promise<void> {
    const entries = this.#entries;
    this.#entries = [];
    for (const entry of entries) {
      const added = entry.kind === "given" ? entry.ids : (await entry.wait()).map((id) => [id]);
      for (const [sequence, ids] of added.entries()) {
        const known = this.#ids[sequence]!;
        for (let at = 0; at < ids.length; at++) known.push(ids[at]!);
      }
    }
  }
}
