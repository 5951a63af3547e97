/**
 * A batch of sequences being read and continued: prefill, decode, sampling.
 *
 * The session knows how far every sequence has come; the kernels know everything else from the control buffers. A decode step is one
 * submission, and so is a prefill slice.
 */
import { CallBinder } from "./bind-calls.js";
import { BufferTable } from "./buffers.js";
import { assertCuts, assertTokens } from "./check-request.js";
import type { Command, ComputeDevice, DeviceBuffer, ReadSource, Recording, Runner } from "./compute-device.js";
import { controlWords, type SequenceWords, sampledIdOffset } from "./control.js";
import { ContextFull, RequestError } from "./errors.js";
import { evaluate } from "./expr.js";
import type { Manifest } from "./manifest.js";
import type { Model } from "./model.js";
import { decodeContext, prefillContext, tilesOfDecode, tilesOfPrefill } from "./phase-context.js";
import { Poison } from "./poison.js";
import { callsOfPhase, callsOfSampling, type SampleValues } from "./program.js";
import { ropeTable } from "./rope-table.js";
import {
  cutIntoSlices,
  decodeTable,
  prefillTable,
  type RowModel,
  type RowTable,
  type SlicePart,
  type TileWords,
} from "./rows.js";
import { rowModel, type SessionOptions, type SessionShape, scratchBase } from "./shape.js";
import { TokenHistory } from "./token-history.js";

/** For debugging; both cost time and change nothing of what is computed. */
export interface DebugOptions {
  /** Throws what the device finds wrong with a submit where it happens, not at the next wait. */
  readonly validate?: boolean;
  /** Fills cache slots that were never written or are given up, and rows that nobody demands, with a huge value. */
  readonly poison?: boolean;
}

export type OpenOptions = SessionOptions & DebugOptions;

/** The buffer that the head writes: f32 [batch][vocab]. */
const logitsName = "logits";

export class Session {
  readonly manifest: Manifest;
  readonly shape: SessionShape;
  readonly #device: ComputeDevice;
  readonly #model: Model;
  readonly #rows: RowModel;
  readonly #buffers: ReadonlyMap<string, DeviceBuffer>;
  readonly #table: BufferTable;
  readonly #binder: CallBinder;
  readonly #runner: Runner;
  readonly #validate: boolean;
  readonly #poison: Poison | undefined;
  /** Positions that the caches know, per sequence. */
  #lengths: number[];
  readonly #history: TokenHistory;
  /** Sequences that were cut back: of their keys, only those that are kept for ever are still there. */
  readonly #cutBack = new Set<number>();
  /** Tokens sampled per sequence so far; random numbers follow from it. */
  #steps = 0;
  /** The calls of a decode step, which are the same for every step. */
  #decodeStep: Recording | undefined;
  #sampling: Recording | undefined;
  /** Waits for the sampled tokens at which the decode table stands, if it does: no step has read them yet. */
  #sampled: (() => Promise<number[]>) | undefined;
  #closed = false;
  #last: Promise<unknown> = Promise.resolve();

  static async open(model: Model, shape: SessionShape, options: OpenOptions): Promise<Session> {
    const { device, manifest } = model;
    const buffers = await device.allocate(shape.buffers);
    let poison: Poison | undefined;
    try {
      if (options.poison) poison = await Poison.open(device, manifest, shape, buffers);
      const session = new Session(model, shape, options, buffers, poison);
      if (poison !== undefined) await session.#submit("poison", poison.fillCaches(), []);
      return session;
    } catch (error) {
      for (const buffer of buffers.values()) buffer.destroy();
      poison?.destroy();
      throw error;
    }
  }

  private constructor(
    model: Model,
    shape: SessionShape,
    options: OpenOptions,
    buffers: ReadonlyMap<string, DeviceBuffer>,
    poison: Poison | undefined,
  ) {
    const { device, manifest, kernels } = model;
    this.manifest = manifest;
    this.shape = shape;
    this.#device = device;
    this.#model = model;
    this.#rows = rowModel(manifest);
    this.#buffers = buffers;
    this.#table = new BufferTable(manifest, shape, model.buffers, buffers);
    this.#binder = new CallBinder(manifest, this.#table);
    this.#runner = device.openRunner(kernels);
    this.#validate = options.validate ?? false;
    this.#poison = poison;
    this.#lengths = new Array<number>(shape.batch).fill(0);
    this.#history = new TokenHistory(shape.batch);
    for (const table of manifest.tables) {
      device.write(buffers.get(table.name)!, 0, ropeTable(table, evaluate(table.rows, shape.symbols)));
    }
  }

  /** Positions that each sequence has so far. */
  get lengths(): readonly number[] {
    return this.#lengths;
  }

  /** Reads more tokens, at least one per sequence, and gives the logits of the last position of each. */
  async prefill(ids: readonly ArrayLike<number>[]): Promise<Float32Array[]> {
    return this.#inTurn(async () => this.#readLogits(await this.#prefill(ids, { logits: true })));
  }

  /** Reads one more token per sequence and gives the logits of its position. */
  async decode(ids: readonly number[]): Promise<Float32Array[]> {
    return this.#inTurn(async () => {
      const tokens = ids.map((id) => [id]);
      this.#assertReady(tokens);
      if (this.#cutBack.size > 0) return this.#readLogits(await this.#prefill(tokens, { logits: true }));
      const step = await this.#recordStep();
      this.#writeDecodeTable(this.#lengths, ids);
      this.#history.add(tokens);
      this.#lengths = this.#lengths.map((length) => length + 1);
      this.#sampled = undefined;
      return this.#readLogits(await this.#runPhase("a decode step", [step], this.#logitsSources()));
    });
  }

  /**
   * Reads `ids` as `prefill` does and samples the first token of each sequence; `values` hold for the steps that follow, too. What it
   * gives waits for the ids.
   */
  async prefillAndSample(ids: readonly ArrayLike<number>[], values: SampleValues): Promise<() => Promise<number[]>> {
    return this.#inTurn(async () => {
      this.#assertReady(ids);
      const calls = this.#binder.bind(callsOfSampling(decodeContext(this.#model, this.shape), values), "decode");
      // Beside the prefill's kernels. If one is refused, recording says so.
      const prepared = this.#model.kernels.prepare(calls.map(({ info }) => info.name)).catch(() => {});
      const sampling = async () => {
        this.#sampling = await this.#runner.record("sampling", calls, true);
        return this.#sampling;
      };
      const read = await this.#prefill(ids, { sampling }).finally(() => prepared);
      this.#steps++;
      this.#sampled = this.#readIds(read);
      return this.#sampled;
    });
  }

  /**
   * Reads the tokens that were sampled last and samples the next ones. What it gives waits for the ids: the following step may be
   * submitted before, as the token goes from step to step on the device.
   *
   * Throws ContextFull if a sequence has no room, unless it is one of `ended`: such a sequence stays where it is, and its ids mean nothing.
   */
  async decodeAndSample(ended: ReadonlySet<number> = new Set()): Promise<() => Promise<number[]>> {
    return this.#inTurn(async () => {
      this.#assertOpen();
      if (this.#sampled === undefined) throw new RequestError("there is no sampled token to go on from");
      const { context } = this.shape;
      const full = this.#lengths.findIndex((length, sequence) => length >= context && !ended.has(sequence));
      if (full >= 0) throw new ContextFull(context, context + 1);
      const recordings = [await this.#recordStep(), this.#sampling!];
      this.#history.addSampled(this.#sampled);
      this.#lengths = this.#lengths.map((length) => Math.min(length + 1, context));
      this.#steps++;
      this.#sampled = this.#readIds(await this.#runPhase("a decode step", recordings, this.#idSources()));
      return this.#sampled;
    });
  }

  /**
   * Goes back to the first `lengths[s]` positions of every sequence s. What comes next goes on from there: keys that are kept for ever are
   * used again, the others that it needs are computed anew. A sequence cut to 0 begins afresh; one that keeps its length loses nothing.
   */
  async cut(lengths: readonly number[]): Promise<void> {
    return this.#inTurn(async () => {
      this.#assertOpen();
      assertCuts(lengths, this.#lengths);
      await this.#history.cut(lengths);
      for (const [sequence, length] of lengths.entries()) {
        if (length < this.#lengths[sequence]!) this.#cutBack.add(sequence);
      }
      this.#lengths = [...lengths];
      this.#sampled = undefined;
    });
  }

  /** Frees the session's memory. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#runner.destroy();
    for (const buffer of this.#buffers.values()) buffer.destroy();
    this.#poison?.destroy();
  }

  /** One operation after the other, in the order in which they were asked for. */
  #inTurn<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#last.then(operation);
    this.#last = result.catch(() => undefined);
    return result;
  }

  #assertOpen(): void {
    if (this.#closed) throw new RequestError("the session is closed");
    this.#device.assertAlive();
  }

  #assertReady(ids: readonly ArrayLike<number>[]): void {
    this.#assertOpen();
    assertTokens(ids, this.#lengths, this.shape, this.manifest.model.vocab);
  }

  /** Submits all slices; the last slice of every sequence is in the last round, which predicts. */
  async #prefill(
    ids: readonly ArrayLike<number>[],
    last: { readonly logits?: boolean; readonly sampling?: () => Promise<Recording> },
  ): Promise<() => Promise<ArrayBuffer>> {
    this.#assertReady(ids);
    this.#history.add(ids);
    const slices = await this.#slicesOf(ids);
    const rounds = Math.max(...slices.map((parts) => parts.length));
    for (let round = 0; round < rounds - 1; round++) {
      const parts = slices.flatMap((parts) => (round < parts.length - 1 ? [parts[round]!] : []));
      await this.#runPhase("a prefill slice", [await this.#recordSlice(parts, false)], []);
    }
    const parts = slices.map((parts) => parts.at(-1)!);
    const slice = await this.#recordSlice(parts, true);
    const newest = ids.map((tokens) => tokens[tokens.length - 1]!);
    // Sampling advances the decode table by one step, so it has to stand at the newest token.
    this.#writeDecodeTable(
      this.#lengths.map((length) => length - 1),
      newest,
    );
    this.#sampled = undefined;
    const { logits, sampling } = last;
    const recordings = sampling === undefined ? [slice] : [slice, await sampling()];
    const reads = [...(logits ? this.#logitsSources() : []), ...(sampling ? this.#idSources() : [])];
    return this.#runPhase("a prefill slice", recordings, reads);
  }

  /** The slices in which each sequence is given what it goes on with; after a cut they begin where something is to be computed anew. */
  async #slicesOf(ids: readonly ArrayLike<number>[]): Promise<SlicePart[][]> {
    const { slice, maxRows, batch } = this.shape;
    const slices: SlicePart[][] = [];
    for (const [sequence, tokens] of ids.entries()) {
      const start = this.#lengths[sequence]!;
      const prompt = this.#cutBack.has(sequence)
        ? { sequence, start, resumesAt: 0, ids: await this.#history.idsOf(sequence) }
        : { sequence, start, ids: tokens };
      slices.push(cutIntoSlices(this.#rows, prompt, slice, Math.floor(maxRows / batch)));
    }
    this.#cutBack.clear();
    return slices;
  }

  /** Records the calls of a slice and writes its control buffer; the lengths advance. */
  async #recordSlice(parts: readonly SlicePart[], head: boolean): Promise<Recording> {
    const { manifest, shape } = this;
    const starts = [...this.#lengths];
    const lengths = [...starts];
    for (const { sequence, start, ids } of parts) {
      starts[sequence] = start;
      lengths[sequence] = start + ids.length;
    }

    const table = prefillTable(this.#rows, parts);
    const tiles = tilesOfPrefill(manifest, table);
    const context = prefillContext(this.#model, shape, table, tiles, Math.max(...lengths), Math.max(...starts));
    const calls = this.#binder.bind(callsOfPhase(context, { head }), "prefill");
    const recording = await this.#runner.record("prefill", calls, false);
    const sequences = starts.map((start, sequence) => ({
      length: lengths[sequence]!,
      start,
      steps: this.#steps,
      bases: manifest.groups.map((_, group) => scratchBase(manifest, group, start)),
    }));
    this.#writeControl("prefill", sequences, table, tiles.words);
    this.#lengths = lengths;
    return recording;
  }

  async #recordStep(): Promise<Recording> {
    if (this.#decodeStep === undefined) {
      const context = decodeContext(this.#model, this.shape);
      const calls = this.#binder.bind(callsOfPhase(context, { head: true }), "decode");
      this.#decodeStep = await this.#runner.record("decode", calls, true);
    }
    return this.#decodeStep;
  }

  /** Sets the decode table to the given token at position `starts[s]` of each sequence s. */
  #writeDecodeTable(starts: readonly number[], ids: readonly number[]): void {
    const table = decodeTable(
      this.#rows,
      starts.map((pos, sequence) => ({ pos, id: ids[sequence]! })),
    );
    const sequences = starts.map((start) => ({
      length: start + 1,
      start,
      steps: this.#steps,
      bases: this.manifest.groups.map(() => 0),
    }));
    const tiles = tilesOfDecode(this.manifest, table, this.shape.batch);
    this.#writeControl("decode", sequences, table, tiles.words);
  }

  #writeControl(
    phase: "prefill" | "decode",
    sequences: readonly SequenceWords[],
    table: RowTable,
    tiles: TileWords,
  ): void {
    const words = controlWords(this.shape.control[phase], sequences, table, tiles);
    this.#device.write(this.#table.control(phase).buffer, 0, words);
  }

  /** Runs recordings one after the other, in one submission with what is to be read back after them. */
  #runPhase(
    what: string,
    recordings: readonly Recording[],
    reads: readonly ReadSource[],
  ): Promise<() => Promise<ArrayBuffer>> {
    const plain = () => recordings.map((recording) => ({ kind: "run", recording }) as const);
    return this.#submit(what, this.#poison?.phase(recordings, this.#lengths) ?? plain(), reads);
  }

  #submit(
    what: string,
    commands: readonly Command[],
    reads: readonly ReadSource[],
  ): Promise<() => Promise<ArrayBuffer>> {
    return this.#runner.submit({ what, commands, reads, validate: this.#validate });
  }

  #logitsSources(): ReadSource[] {
    const { buffer } = this.#table.working(logitsName);
    return [{ buffer, offset: 0, bytes: this.shape.batch * this.manifest.model.vocab * 4 }];
  }

  /** Four bytes per sequence. */
  #idSources(): ReadSource[] {
    const { buffer } = this.#table.control("decode");
    return this.#lengths.map((_, sequence) => ({
      buffer,
      offset: sampledIdOffset(this.shape.control.decode, sequence),
      bytes: 4,
    }));
  }

  async #readLogits(wait: () => Promise<ArrayBuffer>): Promise<Float32Array[]> {
    const all = new Float32Array(await wait());
    const { vocab } = this.manifest.model;
    return this.#lengths.map((_, sequence) => all.slice(sequence * vocab, (sequence + 1) * vocab));
  }

  /** Reads once, however often it is asked. */
  #readIds(wait: () => Promise<ArrayBuffer>): () => Promise<number[]> {
    let ids: Promise<number[]> | undefined;
    return () => {
      ids ??= wait().then((bytes) => Array.from(new Int32Array(bytes)));
      return ids;
    };
  }
}
