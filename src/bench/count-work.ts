/**
 * The work of kernel calls, counted: bytes that have to move at least, and arithmetic.
 *
 * Counts come from the calls themselves, their bindings and the sizes of what is bound. Only two things are taken from the analyses,
 * because they are decided on the device while a kernel runs: how many keys a query looks at, and how many are alive. A byte counts
 * once per call however often the kernel loads it; a test holds these counts against the kernel interpreter.
 */
import type { Program } from "../compile.js";
import { planOfProgram } from "../explain/plans.js";
import { type Environment, evaluate } from "../runtime/expr.js";
import type { BufferInfo, Manifest } from "../runtime/manifest.js";
import type { PackedWeight } from "../runtime/packing.js";
import type { Call } from "../runtime/program.js";
import { elementBytes, type SessionShape, storesOf } from "../runtime/shape.js";

/** Bytes that a call moves, by what they are. */
export interface Bytes {
  /** Matrices, biases, norms, rows of an embedding table. */
  readonly weights: number;
  /** Keys and values, read and written. */
  readonly caches: number;
  /** Everything else: rows of the residual stream, partial sums, logits, control words. */
  readonly activations: number;
}

export interface CallWork {
  readonly call: Call;
  readonly bytes: Bytes;
  /** Multiplications and additions of products; what norms, rotations and softmax add to them is left out. */
  readonly flops: number;
  /** Rows that the call computes. */
  readonly rows: number;
}

/** A phase that is counted. */
export interface CountedPhase {
  readonly program: Program;
  readonly shape: SessionShape;
  /** As they lie on the device. */
  readonly weights: readonly PackedWeight[];
  readonly phase: "prefill" | "decode";
  /** Positions of every sequence behind the phase. */
  readonly n: number;
  readonly calls: readonly Call[];
}

/** The work of each call of a phase, in order. A prefill starts with empty caches and is a single slice. */
export function countWork(phase: CountedPhase): CallWork[] {
  const counter = new WorkCounter(phase);
  return phase.calls.map((call) => counter.count(call));
}

export function sumBytes(works: readonly CallWork[]): Bytes {
  const sum = (of: (bytes: Bytes) => number) => works.reduce((total, { bytes }) => total + of(bytes), 0);
  return {
    weights: sum(({ weights }) => weights),
    caches: sum(({ caches }) => caches),
    activations: sum(({ activations }) => activations),
  };
}

export const totalBytes = ({ weights, caches, activations }: Bytes): number => weights + caches + activations;

/** A matrix, or what stands in its place, as a call reads it. */
interface ReadMatrix {
  readonly bytes: number;
  readonly elements: number;
}

/** What a call reads per row of tables and control words: a place in the row table, or a few angles. */
const wordBytes = 16;

class WorkCounter {
  private readonly manifest: Manifest;
  private readonly weights: ReadonlyMap<string, PackedWeight>;
  private readonly buffers: ReadonlyMap<string, BufferInfo>;
  private readonly kernels: ReadonlyMap<string, Manifest["kernels"][number]>;
  /** Pairs of a query and a key, and keys that some query looks at, per layer and sequence. */
  private readonly pairs: readonly number[];
  private readonly alive: readonly number[];
  /** Of those, the keys of earlier steps. */
  private readonly earlier: readonly number[];
  /** Rows that leave each layer, over all sequences. */
  private readonly leaving: readonly number[];
  /** Tokens that are looked up. */
  private readonly tokens: number;
  /** Columns that all calls of a layer compute together with one weight. */
  private readonly columns = new Map<string, number>();

  constructor(private readonly phase: CountedPhase) {
    const { program, shape, n } = phase;
    this.manifest = program.manifest;
    // Layers of one weight are alike.
    this.weights = new Map(phase.weights.map((weight) => [weight.info.name, weight]));
    this.buffers = new Map(this.manifest.buffers.map((info) => [info.name, info]));
    this.kernels = new Map(this.manifest.kernels.map((info) => [info.name, info]));
    this.tokens = shape.batch * (phase.phase === "prefill" ? n : 1);
    if (phase.phase === "prefill") {
      const { prefill } = planOfProgram(program, n);
      this.pairs = prefill.map(({ pairs }) => pairs);
      this.alive = prefill.map(({ keys }) => keys);
      this.earlier = prefill.map(() => 0);
      this.leaving = prefill.map(({ query }) => query * shape.batch);
    } else {
      // The step that reads position n - 1 finds what is kept behind n - 1 positions, and adds its own rows.
      const { decode, kept } = planOfProgram(program, n - 1);
      this.pairs = decode.map(({ pairs }) => pairs);
      this.alive = decode.map(({ keys }, layer) => kept[layer]! + keys);
      this.earlier = kept;
      this.leaving = decode.map(({ query }) => query * shape.batch);
    }
    for (const call of phase.calls) {
      const { column_count: count } = call.parameters;
      if (count === undefined) continue;
      const key = this.columnsKey(call);
      this.columns.set(key, (this.columns.get(key) ?? 0) + count);
    }
  }

  count(call: Call): CallWork {
    const rows = this.rowsOf(call);
    const touched = { ...this.phase.shape.symbols, ...call.parameters, max_rows: rows };
    let weights = 0;
    let elements = 0;
    let activations = 0;
    for (const { name } of this.kernels.get(call.kernel)!.bindings) {
      const source = call.bindings[name]!;
      if (source.kind === "weight") {
        const read = this.readOf(call, source.name);
        weights += read.bytes;
        elements += read.elements;
      } else if (source.kind === "buffer") {
        activations += this.bufferBytes(source.name, touched);
      } else if (source.kind !== "keys" && source.kind !== "store") {
        activations += rows * wordBytes;
      }
    }
    const keys = this.keysOf(call, rows);
    const bytes = { weights, caches: keys.bytes, activations };
    return { call, rows, bytes, flops: 2 * elements * rows + keys.flops };
  }

  /** Rows that a call is told, or those of what it works on. */
  private rowsOf({ parameters, layer }: Call): number {
    const { row_count: count } = parameters;
    if (count !== undefined) return count;
    return layer === undefined ? this.phase.shape.batch : this.leaving[layer]!;
  }

  private readOf(call: Call, name: string): ReadMatrix {
    const { info, parts } = this.weights.get(name)!;
    const part = parts[call.part ?? 0] ?? parts[0]!;
    const rowBytes = part.bytes / part.rows;
    // A kernel that is told where a part ends looks rows up in it, the same for all copies of a token; one that multiplies reads all.
    if (call.parameters["part_rows"] !== undefined) return { bytes: this.tokens * rowBytes, elements: 0 };
    if (info.columns === 1) return { bytes: part.bytes, elements: 0 };
    const { column_count: count } = call.parameters;
    const share = count === undefined ? 1 : count / this.columns.get(this.columnsKey(call))!;
    // What whole numbers are multiplied by is no matrix of its own.
    const elements = info.quantised?.part === "scales" ? 0 : part.rows * info.columns * share;
    return { bytes: part.bytes * share, elements };
  }

  private columnsKey({ bindings, layer, part }: Call): string {
    const matrices = Object.values(bindings).flatMap((source) =>
      source.kind === "weight" && this.weights.get(source.name)!.info.columns > 1 ? [source.name] : [],
    );
    return `${matrices.join()} ${layer} ${part}`;
  }

  private bufferBytes(name: string, touched: Environment): number {
    const { length, element } = this.buffers.get(name)!;
    return evaluate(length, touched) * elementBytes[element];
  }

  private keysOf(call: Call, rows: number): { readonly bytes: number; readonly flops: number } {
    const groups = new Set(
      Object.values(call.bindings).flatMap((source) =>
        source.kind === "keys" || source.kind === "store" ? [source.group] : [],
      ),
    );
    const { layer } = call;
    const finishes = call.bindings["partial_stats"] !== undefined && call.bindings["source_0"] !== undefined;
    if ((groups.size === 0 && !finishes) || layer === undefined) return { bytes: 0, flops: 0 };
    const { batch } = this.phase.shape;
    const { kvWidth, element } = storesOf(this.manifest, layer)[0]!;
    const keyBytes = 2 * kvWidth * elementBytes[element];
    // Attention that finishes the step's own keys reads earlier ones only, and writes those that are kept.
    if (finishes) {
      const keys = this.earlier[layer]! + this.enteringIn(groups, layer);
      return { bytes: batch * keys * keyBytes, flops: 4 * batch * this.pairs[layer]! * this.attendedWidth() };
    }
    if (Object.values(call.bindings).some(({ kind }) => kind === "store")) {
      return { bytes: 2 * batch * (call.parameters["keep"] ?? 0) * keyBytes, flops: 0 };
    }
    const writes = this.kernels
      .get(call.kernel)!
      .bindings.some(({ name, access }) => access === "read_write" && call.bindings[name]!.kind === "keys");
    // Whoever writes keys writes one for each of its rows; whoever reads them reads all that are alive, once.
    if (writes) return { bytes: rows * keyBytes, flops: 0 };
    const width = this.queryWidth(call);
    return { bytes: batch * this.alive[layer]! * keyBytes, flops: 4 * batch * this.pairs[layer]! * width };
  }

  /** Copies of one position that enter a layer and belong to some groups. */
  private enteringIn(groups: ReadonlySet<string>, layer: number): number {
    const { order, input } = this.manifest.rows.decode;
    const members = this.manifest.groups.filter(({ name }) => groups.has(name));
    const entering = order.slice(order.length - input[layer]!);
    const pos = this.phase.n - 1;
    return entering.filter((copy) =>
      members.some(
        ({ firstCopy, lastCopy, firstPos = 0, endPos = Number.POSITIVE_INFINITY }) =>
          firstCopy <= copy && copy <= lastCopy && firstPos <= pos && pos < endPos,
      ),
    ).length;
  }

  /** The same as below where attention has no queries but those it finishes: what a row of one split is wide. */
  private attendedWidth(): number {
    const { length } = this.buffers.get("partial_values")!;
    const one = evaluate(length, { ...this.phase.shape.symbols, batch: 1, splits: 1 });
    return one / this.manifest.model.copies;
  }

  /** Elements of a row of queries: heads × width of a head. */
  private queryWidth(call: Call): number {
    const query = call.bindings["query"];
    if (query?.kind !== "buffer") throw new Error(`the step ${call.step} reads keys and has no queries`);
    const { length } = this.buffers.get(query.name)!;
    return evaluate(length, { ...this.phase.shape.symbols, max_rows: 1 });
  }
}
