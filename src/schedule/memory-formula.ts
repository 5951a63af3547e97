/** What a session allocates, as formulas in its symbols: the run time refuses a context that does not fit before it uploads anything. */
import { add, type Expr, evaluate, max, mul } from "../ir/expr.js";
import { copiesIn } from "../runtime/key-group.js";
import type { BufferInfo, KeyGroupInfo, KeyStore, Manifest, TableInfo, WeightInfo } from "../runtime/manifest.js";
import { packedShape } from "../runtime/packing.js";
import { elementBytes } from "../runtime/shape.js";

export interface MemoryParts {
  readonly layers: number;
  readonly groups: readonly KeyGroupInfo[];
  readonly stores: Manifest["stores"];
  readonly buffers: readonly BufferInfo[];
  readonly tables: readonly TableInfo[];
  readonly weights: readonly WeightInfo[];
}

export function memoryFormulas(parts: MemoryParts): Manifest["memory"] {
  return { weights: weightBytes(parts), caches: cacheBytes(parts), working: workingBytes(parts) };
}

function weightBytes({ weights, layers }: MemoryParts): number {
  return weights
    .map((info) => {
      const copies = info.perLayer ? (info.layers?.length ?? layers) : 1;
      const { rows, rowBytes } = packedShape(info);
      return rows * rowBytes * copies;
    })
    .reduce((a, b) => a + b, 0);
}

/** Keys and values of every sequence in so many slots. */
function keyBytes({ kvWidth, element }: KeyStore, slots: Expr): Expr {
  return mul("batch", slots, 2 * kvWidth * elementBytes[element]);
}

/** Stores that outlive a step. */
function cacheBytes({ stores, groups }: MemoryParts): Expr {
  return add(
    ...stores.distinct.flatMap((ofLayer, entry) => {
      const count = stores.layers.filter((own) => own === entry).length;
      return groups.flatMap((_, group) => {
        const store = ofLayer[group]!;
        return store.layout === "forever" || store.layout === "ring" ? [mul(keyBytes(store, store.slots), count)] : [];
      });
    }),
    0,
  );
}

/** Activations, rotation tables, the keys of a step and of a prefill slice. */
function workingBytes({ stores, groups, buffers, tables }: MemoryParts): Expr {
  const slots = new Map<string, Expr[]>();
  for (const { slot, length, element } of buffers) {
    slots.set(slot, [...(slots.get(slot) ?? []), mul(length, elementBytes[element])]);
  }
  const keys = groups.flatMap((group, index) => {
    const all = stores.distinct.map((ofLayer) => ofLayer[index]!);
    const copies = copiesIn(group);
    const steps = all.filter(({ layout }) => layout === "step").map((store) => keyBytes(store, store.slots));
    const scratches = all.filter(({ layout }) => layout === "ring" || layout === "step");
    // Indices start at 0 in all layers where some keep them for ever.
    const slice: Expr = all.some(({ layout }) => layout === "forever")
      ? mul("context", copies)
      : add(mul("slice", copies), Math.max(0, ...all.map(({ keep }) => keep)));
    return [...largest(steps), ...largest(scratches.map((store) => keyBytes(store, slice)))];
  });
  return add(
    ...[...slots.values()].map((lengths) => largest(lengths)[0]!),
    ...tables.map(({ rows, frequencies }) => mul(rows, frequencies.length * 2 * 4)),
    ...keys,
  );
}

/** The largest of formulas that mostly differ in a factor only; none of none. */
function largest(formulas: readonly Expr[]): Expr[] {
  const distinct = [...new Map(formulas.map((formula) => [JSON.stringify(formula), formula])).values()];
  if (distinct.length < 2) return distinct;
  const factors = distinct.map((formula) => splitFactor(formula));
  const [first] = factors;
  if (first !== undefined && factors.every((other) => JSON.stringify(other.rest) === JSON.stringify(first.rest))) {
    return [mul(first.rest, Math.max(...factors.map(({ factor }) => factor)))];
  }
  return [max(...distinct)];
}

/** A product without its constant factor. */
function splitFactor(formula: Expr): { readonly rest: Expr; readonly factor: number } {
  if (typeof formula === "number") return { rest: 1, factor: formula };
  if (typeof formula !== "object" || formula.op !== "mul") return { rest: formula, factor: 1 };
  const symbols = formula.args.filter((arg) => typeof arg !== "number");
  const constants = formula.args.filter((arg) => typeof arg === "number");
  return { rest: mul(...symbols), factor: evaluate(mul(...constants), {}) };
}
