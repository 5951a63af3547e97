/**
 * Runs a manifest with the kernel interpreter: the device that needs no device.
 *
 * It does what the run time does on a GPU (rows, control buffers, choices, bindings), on typed arrays. Tests compare it with the float64
 * interpreter, count what kernels load, and poison what nobody may read.
 */
import { bfloatToBits, halfToBits } from "../../ir/kernel/half.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { scalarOf } from "../../ir/kernel/types.js";
import { controlWords } from "../../runtime/control.js";
import { bytesOf } from "../../runtime/dtype.js";
import { RowEncoder } from "../../runtime/encode-rows.js";
import { evaluate } from "../../runtime/expr.js";
import { scatterFragments } from "../../runtime/fragments.js";
import type { BindingSource, Manifest, WeightInfo } from "../../runtime/manifest.js";
import { layerOfWeight, type PackedWeight, planWeights, tensorName } from "../../runtime/packing.js";
import { decodeContext, prefillContext, tilesOfDecode, tilesOfPrefill } from "../../runtime/phase-context.js";
import {
  type Call,
  callsOfPhase,
  callsOfSampling,
  type PhaseContext,
  type SampleValues,
} from "../../runtime/program.js";
import { ropeTable } from "../../runtime/rope-table.js";
import { cutIntoSlices, decodeTable, prefillTable, type SlicePart } from "../../runtime/rows.js";
import {
  rowModel,
  type SessionOptions,
  type SessionShape,
  type SizeLimits,
  scratchBase,
  scratchName,
  shapeSession,
  stepStoreName,
  storeName,
  storesOf,
  unlimitedSizes,
} from "../../runtime/shape.js";
import type { AccessCounts } from "./access-counts.js";
import { Poison } from "./poison.js";
import { type BufferData, type KernelRun, runKernel } from "./run-kernel.js";

/** Values of a tensor of the checkpoint; undefined when there is none. */
export type TensorValues = (tensor: string) => ArrayLike<number> | undefined;

export interface ManifestRunOptions extends SessionOptions {
  readonly limits?: SizeLimits;
  /** The value that everything is filled with that nothing may read: see `Poison`. */
  readonly poison?: number;
  /** Size of the subgroups that the kernels see. */
  readonly subgroupSize?: number;
  /** Gives what to count a call with, if it is to be counted. */
  readonly countOf?: (call: Call) => AccessCounts | undefined;
  readonly detectRaces?: boolean;
  /** Runs kernels in place of the interpreter. */
  readonly execute?: (kernel: Kernel, run: KernelRun) => void;
}

export class ManifestRun {
  readonly shape: SessionShape;
  readonly lengths: number[];
  private readonly kernels: ReadonlyMap<string, Kernel>;
  private readonly memory = new Map<string, ArrayBuffer>();
  /** As they lie in memory, in parts. */
  readonly weights: readonly PackedWeight[];
  private readonly poison: Poison | undefined;
  private steps = 0;
  /** Token ids of all positions, per sequence. */
  private readonly ids: number[][];
  /** Sequences that were cut back, of which only keys that are kept for ever are still there. */
  private readonly cutBack = new Set<number>();
  /** The ids that the decode table holds after `sample`. */
  private sampled: readonly number[] = [];

  constructor(
    readonly manifest: Manifest,
    kernels: readonly Kernel[],
    tensors: TensorValues,
    private readonly options: ManifestRunOptions,
  ) {
    const limits = options.limits ?? unlimitedSizes;
    this.kernels = new Map(kernels.map((kernel) => [kernel.name, kernel]));
    this.shape = shapeSession(manifest, options, limits);
    this.lengths = new Array<number>(this.shape.batch).fill(0);
    this.ids = this.lengths.map(() => []);
    this.weights = planWeights(manifest, limits);
    for (const weight of this.weights) this.pack(weight, tensors);
    for (const planned of this.shape.buffers) this.memory.set(planned.name, new ArrayBuffer(planned.bytes));
    for (const table of manifest.tables) {
      const values = ropeTable(table, evaluate(table.rows, this.shape.symbols));
      new Float32Array(this.memory.get(table.name)!).set(values);
    }
    if (options.poison !== undefined) {
      this.poison = new Poison(manifest, this.kernels, this.shape, (name) => this.named(name), options.poison);
      this.poison.fillCaches();
    }
  }

  /** Reads tokens of every sequence; gives the logits of the last position of each. */
  prefill(ids: readonly (readonly number[])[]): Float32Array[] {
    const { slice, maxRows, batch } = this.shape;
    const model = rowModel(this.manifest);
    const slices = ids.map((tokens, sequence) => {
      const start = this.lengths[sequence]!;
      this.ids[sequence]!.push(...tokens);
      const resumesAt = this.cutBack.has(sequence) ? 0 : start;
      const prompt = { sequence, start, resumesAt, ids: this.ids[sequence]!.slice(resumesAt) };
      return cutIntoSlices(model, prompt, slice, Math.floor(maxRows / batch));
    });
    this.cutBack.clear();
    const rounds = Math.max(...slices.map((parts) => parts.length));
    for (let round = 0; round < rounds - 1; round++) {
      this.prefillSlice(
        slices.flatMap((parts) => (round < parts.length - 1 ? [parts[round]!] : [])),
        false,
      );
    }
    this.prefillSlice(
      slices.map((parts) => parts.at(-1)!),
      true,
    );
    // What samples from these logits advances the decode table from the newest token.
    this.writeDecodeTable(
      this.lengths.map((length) => length - 1),
      ids.map((tokens) => tokens.at(-1)!),
    );
    return this.logits();
  }

  /** Keeps the first positions of every sequence: so many as `lengths` says. What comes next is a prompt that goes on from there. */
  cut(lengths: readonly number[]): void {
    for (const [sequence, length] of lengths.entries()) {
      if (length === this.lengths[sequence]) continue;
      this.lengths[sequence] = length;
      this.ids[sequence]!.length = length;
      this.cutBack.add(sequence);
      this.poison?.afterCut(sequence, length);
    }
  }

  /** Reads one token per sequence; gives the logits of its position. */
  decode(ids: readonly number[]): Float32Array[] {
    if (this.cutBack.size > 0) return this.prefill(ids.map((id) => [id]));
    for (const [sequence, id] of ids.entries()) this.ids[sequence]!.push(id);
    this.writeDecodeTable(this.lengths, ids);
    return this.runStep();
  }

  /** Samples from the newest logits, on the device; gives the ids, which the next `step` reads. */
  sample(values: SampleValues): number[] {
    for (const call of callsOfSampling(decodeContext(this, this.shape), values)) this.run(call, "decode");
    this.steps++;
    const words = this.words("control of decode");
    const { sequencesAt, sequenceStride } = this.shape.control.decode;
    const sampled = this.lengths.map((_, sequence) => words[sequencesAt + sequence * sequenceStride + 2]!);
    this.sampled = sampled;
    return sampled;
  }

  /** A decode step on what the decode table holds. */
  step(): Float32Array[] {
    for (const [sequence, id] of this.sampled.entries()) this.ids[sequence]!.push(id);
    return this.runStep();
  }

  private runStep(): Float32Array[] {
    this.lengths.forEach((length, sequence) => {
      this.lengths[sequence] = length + 1;
    });
    this.runPhase(decodeContext(this, this.shape), true);
    return this.logits();
  }

  private prefillSlice(parts: readonly SlicePart[], head: boolean): void {
    const { manifest, shape } = this;
    const model = rowModel(manifest);
    const starts = [...this.lengths];
    for (const { sequence, start, ids } of parts) {
      starts[sequence] = start;
      this.lengths[sequence] = start + ids.length;
    }
    const table = prefillTable(model, parts);
    const tiles = tilesOfPrefill(manifest, table);
    const sequences = starts.map((start, sequence) => ({
      ...{ length: this.lengths[sequence]!, start, steps: this.steps },
      bases: manifest.groups.map((_, group) => scratchBase(manifest, group, start)),
    }));
    const words = controlWords(shape.control.prefill, sequences, table, tiles.words);
    this.words("control of prefill").set(words);
    const n = Math.max(...this.lengths);
    this.runPhase(prefillContext(this, shape, table, tiles, n, Math.max(...starts)), head);
  }

  private writeDecodeTable(starts: readonly number[], ids: readonly number[]): void {
    const table = decodeTable(
      rowModel(this.manifest),
      starts.map((pos, sequence) => ({ pos, id: ids[sequence]! })),
    );
    const sequences = starts.map((start) => ({
      ...{ length: start + 1, start, steps: this.steps },
      bases: this.manifest.groups.map(() => 0),
    }));
    const tiles = tilesOfDecode(this.manifest, table, this.shape.batch);
    const words = controlWords(this.shape.control.decode, sequences, table, tiles.words);
    this.words("control of decode").set(words);
  }

  private runPhase(context: PhaseContext, head: boolean): void {
    const { phase, table } = context;
    this.poison?.beforePhase();
    let previous: number | undefined;
    for (const call of callsOfPhase(context, { head })) {
      // Steps before the layers and behind them have no layer.
      if (call.layer !== previous) this.poison?.beforeLayer(call.layer ?? this.manifest.model.layers, table);
      previous = call.layer;
      this.run(call, phase);
    }
    this.poison?.afterPhase(this.lengths);
  }

  private run(call: Call, phase: "prefill" | "decode"): void {
    const kernel = this.kernels.get(call.kernel);
    if (kernel === undefined) throw new Error(`the manifest names a kernel ${call.kernel}, which is not given`);
    const buffers = kernel.buffers.map(({ name, type }) => {
      const memory = this.find(call.bindings[name]!, call, phase);
      return [name, viewOf(memory, scalarOf(type))] as const;
    });
    const count = this.options.countOf?.(call);
    const { execute = runKernel } = this.options;
    execute(kernel, {
      buffers: Object.fromEntries(buffers),
      params: call.parameters,
      workgroups: call.workgroups,
      ...(count !== undefined && { count }),
      ...(this.options.subgroupSize !== undefined && { subgroupSize: this.options.subgroupSize }),
      detectRaces: this.options.detectRaces ?? false,
    });
  }

  private find(source: BindingSource, { layer, part }: Call, phase: "prefill" | "decode"): ArrayBuffer {
    switch (source.kind) {
      case "buffer":
        return this.named(this.manifest.buffers.find(({ name }) => name === source.name)!.slot);
      case "table":
        return this.named(source.name);
      case "weight": {
        const { perLayer } = this.manifest.weights.find(({ name }) => name === source.name)!;
        const of = perLayer ? layerOfWeight(this.manifest, source, layer) : undefined;
        const own = weightName(source.name, of, part ?? 0);
        // Only the weight that the step is repeated for has further parts; a norm beside it is whole.
        return this.named(this.memory.has(own) ? own : weightName(source.name, of, 0));
      }
      case "keys": {
        const { layout } = storesOf(this.manifest, layer!).find(({ group }) => group === source.group)!;
        if (layout === "forever") return this.named(storeName(layer!, source.group));
        if (phase === "prefill") return this.named(scratchName(source.group));
        return this.named(layout === "step" ? stepStoreName(source.group) : storeName(layer!, source.group));
      }
      case "store":
        return this.named(storeName(layer!, source.group));
      case "control":
        return this.named(`control of ${phase}`);
      case "decode-control":
        return this.named("control of decode");
    }
  }

  private named(name: string): ArrayBuffer {
    const memory = this.memory.get(name);
    if (memory === undefined) throw new Error(`no buffer is named ${name}`);
    return memory;
  }

  private words(name: string): Int32Array {
    return new Int32Array(this.named(name));
  }

  private logits(): Float32Array[] {
    const { vocab } = this.manifest.model;
    const all = new Float32Array(this.named(this.manifest.buffers.find(({ name }) => name === "logits")!.slot));
    return this.lengths.map((_, sequence) => all.slice(sequence * vocab, (sequence + 1) * vocab));
  }

  /** Brings the tensors of a packed weight to their places, part by part. */
  private pack({ info, layer, parts }: PackedWeight, tensors: TensorValues): void {
    const { columns, sources } = info;
    const whole = new Float32Array(info.rows * columns);
    for (const { tensor, row, zeros } of sources) {
      const values = tensors(tensorName(tensor, layer));
      if (values === undefined && !zeros) throw new Error(`there is no tensor ${tensorName(tensor, layer)}`);
      if (values !== undefined) whole.set(values, row * columns);
    }
    for (const [index, { base, rows, bytes }] of parts.entries()) {
      const own = whole.subarray(base * columns, (base + rows) * columns);
      const memory = new ArrayBuffer(bytes);
      const encoded = encodeRows(info, own);
      if (info.layout === "fragments") scatterFragments(info, new Uint8Array(memory), encoded, 0);
      else new Uint8Array(memory).set(encoded);
      this.memory.set(weightName(info.name, layer, index), memory);
    }
  }
}

/** Rows as a weight stores them. */
function encodeRows(info: WeightInfo, rows: Float32Array): Uint8Array {
  if (info.quantised !== undefined) return new RowEncoder().encode(info, "F32", bytesOf(rows));
  if (info.element === "f32") return bytesOf(rows);
  return bytesOf(Uint16Array.from(rows, info.element === "f16" ? halfToBits : bfloatToBits));
}

const weightName = (weight: string, layer: number | undefined, part: number) =>
  `weight ${weight}, layer ${layer ?? "none"}, part ${part}`;

function viewOf(memory: ArrayBuffer, scalar: string): BufferData {
  switch (scalar) {
    case "i32":
      return new Int32Array(memory);
    case "u32":
      return new Uint32Array(memory);
    case "f16":
    case "bf16":
      return new Uint16Array(memory);
    default:
      return new Float32Array(memory);
  }
}
