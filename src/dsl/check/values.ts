/** What an expression can stand for while a model is checked, and how messages call it. */
import type { Predicate, Term } from "../../ir/relation/predicate.js";
import type { CheckedOp, Dim, TensorType } from "./checked-model.js";
import { constantSize, type Size } from "./size.js";

export type Value =
  | { readonly kind: "tensor"; readonly op: CheckedOp }
  | { readonly kind: "int"; readonly size: Size }
  | { readonly kind: "real"; readonly value: number }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "bool"; readonly value: boolean }
  /** An integer or truth value that depends on the layer: its value in each layer. */
  | { readonly kind: "layer-int"; readonly values: readonly number[]; readonly isIndex: boolean }
  | { readonly kind: "layer-bool"; readonly values: readonly boolean[] }
  /** `tokens` or `positions`. */
  | { readonly kind: "axis"; readonly name: "positions" | "tokens" }
  /** A token of a relation; its coordinates are written `q.` for the query (and for the only token there is), `k.` for the key. */
  | { readonly kind: "token"; readonly role: "q" | "k" }
  | { readonly kind: "term"; readonly term: Term }
  | { readonly kind: "predicate"; readonly predicate: Predicate }
  /** Something is wrong with it, and has been reported; whatever uses it stays silent. */
  | { readonly kind: "failed" };

export type ValueOf<Kind extends Value["kind"]> = Extract<Value, { kind: Kind }>;

export const failed: Value = { kind: "failed" };

export function intValue(value: number): Value {
  return { kind: "int", size: constantSize(value) };
}

/** The number that a value is, where it is one and the same in every layer and for every token. */
export function numberOf(value: Value): number | undefined {
  if (value.kind === "int") return value.size.value;
  return value.kind === "real" ? value.value : undefined;
}

const kindNames: Readonly<Record<Value["kind"], string>> = {
  tensor: "a tensor",
  int: "an integer",
  real: "a real number",
  string: "a string",
  bool: "a truth value",
  "layer-int": "an integer that depends on the layer",
  "layer-bool": "a condition on the layer",
  axis: "a token axis",
  token: "a token",
  term: "an integer that depends on tokens",
  predicate: "a condition on tokens",
  failed: "nothing",
};

export function describeKind(kind: Value["kind"]): string {
  return kindNames[kind];
}

/** `a tensor [tokens, dim]`, `an integer`. */
export function describeValue(value: Value): string {
  return value.kind === "tensor" ? `a tensor ${printType(value.op.type)}` : describeKind(value.kind);
}

export function printDim(dim: Dim): string {
  return dim.kind === "axis" ? dim.name : dim.size.text;
}

/** `[tokens, heads * head_dim]`. */
export function printType(type: TensorType): string {
  return `[${type.dims.map(printDim).join(", ")}]${type.element === "int" ? " int" : ""}`;
}

export function sizeDim(size: Size): Dim {
  return { kind: "size", size };
}

export function axisDim(name: "positions" | "tokens"): Dim {
  return { kind: "axis", name };
}
