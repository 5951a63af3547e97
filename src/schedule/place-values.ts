/**
 * Finds a buffer for every activation, and shared memory for buffers that are never needed at once.
 *
 * A value that a layer carries has one buffer for all layers. An elementwise epilogue may write over an operand that dies there
 * (the residual), which keeps the residual stream in place from the first layer to the last. Everything else gets a buffer of its
 * own; buffers whose lives do not overlap share a slot.
 */
import { InternalError } from "../diagnostics/diagnostic.js";
import { mul } from "../ir/expr.js";
import type { Block, ElementExpr, Graph, Layers, Op, Value, ValueId } from "../ir/graph/ops.js";
import { hasRows, rowWidth } from "../ir/graph/types.js";
import { bodiesOf, eachOperand, elementOperands } from "../ir/graph/walk.js";
import type { BufferInfo } from "../runtime/manifest.js";
import { DeferredNorms } from "./deferred-norms.js";

/** A value that has to be moved to another buffer of the same width. */
export interface Copy {
  readonly from: string;
  readonly to: string;
  readonly width: number;
}

export interface Places {
  readonly buffers: readonly BufferInfo[];
  /** The buffer of an activation. */
  bufferOf(value: ValueId): string;
  /** Columns of a row of an activation. */
  widthOf(value: ValueId): number;
  /** Moves before the layers, so that the carried values start where every layer expects them. */
  readonly before: readonly Copy[];
  /** Moves at the end of a layer, per layer class of the graph: carried values that could not be computed in place. */
  readonly afterLayer: readonly (readonly Copy[])[];
}

/** The buffer the predictions are written to, [batch][vocab]. */
export const logitsBuffer = "logits";
/** What decode attention leaves for the merge. */
export const partialsBuffers = { values: "partial_values", stats: "partial_stats" } as const;
const reservedNames = [logitsBuffer, ...Object.values(partialsBuffers)];

/** @param deferred norms that a product computes in decode, whose operands therefore live until then */
export function placeValues(graph: Graph, deferred: DeferredNorms = new DeferredNorms([])): Places {
  return new Placement(graph, deferred).finish();
}

class Placement {
  private readonly buffers: BufferInfo[] = [];
  private readonly bufferNames = new Set<string>(reservedNames);
  /** Buffer and slot of every activation. */
  private readonly places = new Map<ValueId, { readonly buffer: string; readonly slot: number }>();
  private readonly widths = new Map<ValueId, number>();
  /** Slots nobody needs at the moment, by number. */
  private readonly free = new Set<number>();
  private readonly slotWidths: number[] = [];
  private readonly before: Copy[] = [];
  private readonly afterLayer: Copy[][] = [];

  /** Values that the next layer still reads: nothing else may stand where they do. */
  private readonly pinned: ReadonlySet<ValueId>;

  constructor(
    private readonly graph: Graph,
    private readonly deferred: DeferredNorms,
  ) {
    this.pinned = new Set(deferred.across.flatMap(({ norm }) => [...eachOperand(norm)]));
  }

  finish(): Places {
    const { body } = this.graph;
    const [yielded] = body.yields;
    const lives = new Lives(body, this.deferred);
    for (const [index, op] of body.ops.entries()) {
      for (const { id, type } of op.results) this.widths.set(id, rowWidth(type));
      if (op.kind === "select-copy") this.alias(op.results[0]!.id, op.input);
      else if (op.kind === "layers") this.placeLayers(op, index, lives);
      else if (isActivation(op) && op.results[0]!.id !== yielded) this.place(op, index, lives, undefined);
      this.release(op, index, lives);
    }
    const logits = yielded === undefined ? undefined : this.widths.get(yielded);
    if (logits === undefined) throw new InternalError("the graph yields nothing");
    const head = { name: logitsBuffer, doc: "predictions, one row per sequence", element: "f32" } as const;
    this.buffers.push({ ...head, length: mul("batch", logits), slot: logitsBuffer });
    return {
      buffers: this.buffers,
      bufferOf: (value) => (value === yielded && !this.places.has(value) ? logitsBuffer : this.placeOf(value).buffer),
      widthOf: (value) => this.widths.get(value)!,
      before: this.before,
      afterLayer: this.afterLayer,
    };
  }

  private placeOf(value: ValueId) {
    const place = this.places.get(value);
    if (place === undefined) throw new InternalError(`value ${value} has no buffer`);
    return place;
  }

  private alias(value: ValueId, of: ValueId): void {
    this.places.set(value, this.placeOf(of));
  }

  private placeLayers(op: Layers, index: number, lives: Lives): void {
    // What a layer reads from outside has to be there for the next layer too, so no carried value may take its buffer over.
    const readInside = new Set(op.classes.flatMap(({ body }) => [...readFromOutside(body)]));
    const carried = op.inputs.map((input, i) => {
      const sharers = this.sharers(input);
      const needed = sharers.some((sharer) => readInside.has(sharer));
      const own = !needed && lives.diesAt(input, index, sharers) && op.inputs.indexOf(input) === i;
      const name = op.classes[0]?.body.args[i]?.name ?? op.results[i]!.name;
      const place = own ? this.placeOf(input) : this.newPlace(name, this.widths.get(input)!);
      if (!own) this.before.push(copyOf(this.placeOf(input), place, this.widths.get(input)!));
      this.places.set(op.results[i]!.id, place);
      return place;
    });
    const freeBefore = new Set(this.free);
    const slotsBefore = this.slotWidths.length;
    const restore = () => {
      this.free.clear();
      for (const slot of freeBefore) this.free.add(slot);
      for (let slot = slotsBefore; slot < this.slotWidths.length; slot++) this.free.add(slot);
    };
    for (const { body } of op.classes) {
      this.afterLayer.push(this.placeBody(body, carried));
      // Only one class runs at a time, so each starts with the slots that were free, as does what follows the layers.
      restore();
    }
  }

  /** Places the values of a layer; returns the moves that bring what it yields to where the next layer expects it. */
  private placeBody(body: Block, carried: readonly { readonly buffer: string; readonly slot: number }[]): Copy[] {
    const lives = new Lives(body, this.deferred);
    body.args.forEach(({ id, type }, i) => {
      this.places.set(id, carried[i]!);
      this.widths.set(id, rowWidth(type));
    });
    for (const [index, op] of body.ops.entries()) {
      for (const { id, type } of op.results) this.widths.set(id, rowWidth(type));
      if (!isActivation(op)) continue;
      const carry = body.yields.indexOf(op.results[0]!.id);
      this.place(op, index, lives, carry < 0 ? undefined : carried[carry]);
      this.release(op, index, lives, new Set(carried.map(({ slot }) => slot)));
    }
    const moves = body.yields.flatMap((value, i) => {
      const [from, to] = [this.placeOf(value), carried[i]!];
      return from.buffer === to.buffer ? [] : [{ ...copyOf(from, to, this.widths.get(value)!), value }];
    });
    const overwritten = new Set(moves.map(({ to }) => to));
    const clashes = body.yields.some((value) => overwritten.has(this.placeOf(value).buffer));
    if (!clashes) return moves.map(({ from, to, width }) => ({ from, to, width }));
    // A move would overwrite what another still has to read: all of them go through buffers of their own.
    const first = moves.map(({ from, to, width, value }) => {
      const between = this.newPlace(`moved_${value}`, width);
      return { in: { from, to: between.buffer, width }, out: { from: between.buffer, to, width } };
    });
    return [...first.map((move) => move.in), ...first.map((move) => move.out)];
  }

  private place(
    op: Op,
    index: number,
    lives: Lives,
    carry: { readonly buffer: string; readonly slot: number } | undefined,
  ): void {
    const [result] = op.results as [Value];
    if (this.pinned.has(result.id)) {
      this.places.set(result.id, this.newPlace(result.name, this.widths.get(result.id)!, "a slot of its own"));
      return;
    }
    const over = this.overwritable(op, index, lives);
    const inPlace = over.find(({ buffer }) => buffer === carry?.buffer) ?? (carry === undefined ? over[0] : undefined);
    if (inPlace !== undefined) {
      this.places.set(result.id, inPlace);
    } else if (carry !== undefined && this.isFree(carry.buffer, index, lives)) {
      this.places.set(result.id, carry);
    } else {
      this.places.set(result.id, over[0] ?? this.newPlace(result.name, this.widths.get(result.id)!));
    }
  }

  /** Operands of the epilogue whose buffers the result may take over: they die here and nothing else reads their buffer. */
  private overwritable(op: Op, index: number, lives: Lives) {
    const epilogue = epilogueOf(op);
    // A product that computes a norm reads the norm's operands in every workgroup, while one of them writes the result.
    if (epilogue === undefined || this.deferred.ofNorm(op) !== undefined) return [];
    const undone = this.deferred.ofProduct(op);
    const readByAll = new Set(undone === undefined ? [] : eachOperand(undone.norm));
    const width = this.widths.get(op.results[0]!.id)!;
    const [input] = op.kind === "fused-linear" || op.kind === "norm" ? [op.input] : [];
    return elementOperands(epilogue)
      .filter((value) => this.places.has(value) && this.widths.get(value) === width && !readByAll.has(value))
      .filter((value) => lives.diesAt(value, index, this.sharers(value)))
      .map((value) => this.placeOf(value))
      .filter(({ buffer }) => input === undefined || this.placeOf(input).buffer !== buffer);
  }

  /** Whether every value that lives in a buffer has died before an operation. */
  private isFree(buffer: string, index: number, lives: Lives): boolean {
    return [...this.places].every(([value, place]) => place.buffer !== buffer || lives.lastUse(value) < index);
  }

  /** The values in the same buffer, which die together. */
  private sharers(value: ValueId): ValueId[] {
    const { buffer } = this.placeOf(value);
    return [...this.places].filter(([, place]) => place.buffer === buffer).map(([sharer]) => sharer);
  }

  private release(op: Op, index: number, lives: Lives, keep: ReadonlySet<number> = new Set()): void {
    const undone = this.deferred.ofProduct(op);
    const operands = [...eachOperand(op), ...(undone ? eachOperand(undone.norm) : [])];
    for (const operand of new Set([...operands, ...op.results.map(({ id }) => id)])) {
      const place = this.places.get(operand);
      if (place === undefined || keep.has(place.slot) || this.pinned.has(operand)) continue;
      if (lives.knows(operand) && lives.diesAt(operand, index, this.sharers(operand))) this.free.add(place.slot);
    }
  }

  private newPlace(name: string, width: number, where: "anywhere" | "a slot of its own" = "anywhere") {
    const fits = (where === "anywhere" ? [...this.free] : []).sort(
      (a, b) => Math.abs(this.slotWidths[a]! - width) - Math.abs(this.slotWidths[b]! - width),
    );
    const slot = fits[0] ?? this.slotWidths.push(0) - 1;
    this.free.delete(slot);
    this.slotWidths[slot] = Math.max(this.slotWidths[slot]!, width);
    const buffer = this.uniqueName(name);
    const doc = `${width} columns per row`;
    this.buffers.push({ name: buffer, doc, element: "f32", length: mul("max_rows", width), slot: `rows_${slot}` });
    return { buffer, slot };
  }

  private uniqueName(base: string): string {
    let name = base;
    for (let count = 2; this.bufferNames.has(name); count++) name = `${base}_${count}`;
    this.bufferNames.add(name);
    return name;
  }
}

/** When the values of a block are last read: the index of the operation, or the number of operations for what it yields. */
class Lives {
  private readonly last = new Map<ValueId, number>();

  constructor(block: Block, deferred: DeferredNorms) {
    for (const { id } of block.args) this.last.set(id, -1);
    for (const [index, op] of block.ops.entries()) {
      for (const operand of readBy(op)) this.last.set(operand, index);
      const undone = deferred.ofProduct(op);
      if (undone && !undone.across) for (const operand of eachOperand(undone.norm)) this.last.set(operand, index);
      for (const { id } of op.results) this.last.set(id, index);
    }
    for (const value of block.yields) this.last.set(value, block.ops.length);
    // A value of the block around this one outlives it.
    const own = valuesOf(block);
    for (const value of this.last.keys()) if (!own.has(value)) this.last.set(value, Number.POSITIVE_INFINITY);
  }

  knows(value: ValueId): boolean {
    return this.last.has(value);
  }

  /** −1 for values of other blocks that are not read here. */
  lastUse(value: ValueId): number {
    return this.last.get(value) ?? -1;
  }

  /** Whether no value of a buffer is read after an operation. */
  diesAt(value: ValueId, index: number, sharers: readonly ValueId[]): boolean {
    return this.knows(value) && sharers.every((sharer) => this.lastUse(sharer) <= index);
  }
}

/** What an operation reads; for a loop also what its bodies read from outside. */
function* readBy(op: Op): Generator<ValueId> {
  yield* eachOperand(op);
  for (const body of bodiesOf(op)) yield* readFromOutside(body);
}

function* readFromOutside(body: Block): Generator<ValueId> {
  const own = valuesOf(body);
  for (const value of [...body.ops.flatMap((inner) => [...readBy(inner)]), ...body.yields]) {
    if (!own.has(value)) yield value;
  }
}

function valuesOf(block: Block): Set<ValueId> {
  return new Set([...block.args, ...block.ops.flatMap((op) => op.results)].map(({ id }) => id));
}

function epilogueOf(op: Op): ElementExpr | undefined {
  return op.kind === "map" ? op.expression : op.kind === "fused-linear" || op.kind === "norm" ? op.epilogue : undefined;
}

function isActivation(op: Op): boolean {
  return op.kind !== "weight" && op.kind !== "input" && op.results.every(({ type }) => hasRows(type));
}

function copyOf(from: { readonly buffer: string }, to: { readonly buffer: string }, width: number): Copy {
  return { from: from.buffer, to: to.buffer, width };
}
