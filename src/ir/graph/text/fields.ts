/**
 * How the fields of every operation are written: one table that printing and parsing share, so that they cannot disagree.
 *
 * An operation is `kind operands {attributes}`. Operands stand in a fixed order; every other field is an attribute `name = text`.
 * A new operation fails to compile here until it has an entry.
 */
import type { Expr } from "../../expr.js";
import type { BinaryFunction, ElementExpr, Op, OpKind, RowClass, ValueId } from "../ops.js";
import { parseElements, printElements, unaryFunctions } from "./element-text.js";
import { parseExprText, printExprText } from "./expr-text.js";
import { printNumber, type TextReader } from "./reader.js";

/** What the text of a field depends on: the names of values and of frequency tables. */
export interface PrintScope {
  nameOf(value: ValueId): string;
  tableOf(frequencies: readonly number[]): string;
}

export interface ParseScope {
  valueOf(name: string): ValueId;
  frequenciesOf(table: string): readonly number[];
}

/** How one kind of field is written and read. */
export interface Codec<T> {
  print(value: T, scope: PrintScope): string;
  parse(reader: TextReader, scope: ParseScope): T;
}

const number: Codec<number> = { print: printNumber, parse: (reader) => reader.number() };
const text: Codec<string> = { print: (value) => JSON.stringify(value), parse: (reader) => reader.string() };
const word = <const T extends string>(known: readonly T[]): Codec<T> => ({
  print: (value) => value,
  parse: (reader) => reader.word(known),
});
const value: Codec<ValueId> = {
  print: (id, scope) => scope.nameOf(id),
  parse: (reader, scope) => scope.valueOf(reader.read("value")),
};
const expr: Codec<Expr> = { print: printExprText, parse: parseExprText };
const elements: Codec<ElementExpr> = {
  print: (expression, scope) => printElements(expression, (id) => scope.nameOf(id)),
  parse: (reader, scope) => parseElements(reader, (name) => scope.valueOf(name)),
};
const frequencies: Codec<readonly number[]> = {
  print: (list, scope) => scope.tableOf(list),
  parse: (reader, scope) => scope.frequenciesOf(reader.read("table")),
};

const list = <T>(item: Codec<T>): Codec<readonly T[]> => ({
  print: (items, scope) => `[${items.map((each) => item.print(each, scope)).join(", ")}]`,
  parse: (reader, scope) => {
    reader.expect("[");
    return reader.list("]", () => item.parse(reader, scope));
  },
});

/** A value, or `none`. */
const maybe = <T>(item: Codec<T>): Codec<T | undefined> => ({
  print: (each, scope) => (each === undefined ? "none" : item.print(each, scope)),
  parse: (reader, scope) => (reader.accept("none") ? undefined : item.parse(reader, scope)),
});

type Fields<T> = { readonly [F in keyof T]-?: Codec<NonNullable<T[F]>> };

/** `{name = text, …}`; fields that are undefined are left out. */
export function record<T extends object>(fields: Fields<T>): Codec<T> {
  const entries = Object.entries(fields) as [keyof T & string, Codec<unknown>][];
  return {
    print: (object, scope) => {
      const present = entries.filter(([field]) => object[field] !== undefined);
      return `{${present.map(([field, codec]) => `${field} = ${codec.print(object[field], scope)}`).join(", ")}}`;
    },
    parse: (reader, scope) => {
      reader.expect("{");
      const read = reader.list("}", () => {
        const codec = entries.find(([field]) => reader.accept(field));
        if (codec === undefined) throw reader.error("no such field");
        reader.expect("=");
        return [codec[0], codec[1].parse(reader, scope)] as const;
      });
      return Object.fromEntries(read) as T;
    },
  };
}

const binaryFunctions: readonly BinaryFunction[] = ["add", "subtract", "multiply"];
export const rowClasses: readonly RowClass[] = ["input", "query", "output"];

const ropeIndex = record({ byPos: expr, byCopy: expr });
const rotation = record({ frequencies, index: ropeIndex, amplitude: number });
const slice = record({ value, offset: number, heads: number });
const headNorm = record({ weight: value, epsilon: number, over: word(["head", "row"]) });

type OpOf<K extends OpKind> = Extract<Op, { kind: K }>;
type FieldOf<K extends OpKind> = Exclude<keyof OpOf<K>, "kind" | "results" | "origin" | "rows">;
/** Fields of an operation that are neither operands nor common to all. */
export interface OpSyntax<K extends OpKind, Operand extends FieldOf<K> = FieldOf<K>> {
  readonly operands: readonly Operand[];
  readonly attributes: Codec<object>;
}

/** How an operation is written, whatever its kind. */
export interface AnyOpSyntax {
  readonly operands: readonly string[];
  readonly attributes: Codec<object>;
}

/** An entry of the table; every field is either an operand or an attribute. */
const syntax =
  <K extends OpKind>() =>
  <const Operand extends FieldOf<K>>(
    operands: readonly Operand[],
    attributes: Fields<Omit<Pick<OpOf<K>, FieldOf<K>>, Operand>>,
  ): OpSyntax<K, Operand> => ({ operands, attributes: record(attributes as unknown as Fields<object>) });

/** Loops are written by hand, since they hold blocks. */
export const opSyntax: { readonly [K in Exclude<OpKind, "layers">]: OpSyntax<K> } = {
  input: syntax<"input">()([], {}),
  weight: syntax<"weight">()([], { tensor: text }),
  embed: syntax<"embed">()(["ids", "table"], { copies: number }),
  "repeat-tokens": syntax<"repeat-tokens">()(["input"], { copies: number }),
  "select-copy": syntax<"select-copy">()(["input"], { copy: number }),
  linear: syntax<"linear">()(["input", "weight"], { bias: value }),
  "rms-norm": syntax<"rms-norm">()(["input"], { weight: value, epsilon: number }),
  "split-heads": syntax<"split-heads">()(["input"], { heads: number }),
  "merge-heads": syntax<"merge-heads">()(["input"], {}),
  rope: syntax<"rope">()(["input"], { frequencies, index: ropeIndex, amplitude: number }),
  attention: syntax<"attention">()(["query", "key", "value"], { attend: number, scale: number }),
  unary: syntax<"unary">()(["input"], { function: word(unaryFunctions) }),
  binary: syntax<"binary">()(["left", "right"], { function: word(binaryFunctions) }),
  scale: syntax<"scale">()(["input"], { factor: number, offset: number }),
  "fused-linear": syntax<"fused-linear">()(["input"], {
    norm: record({ weight: value, epsilon: number }),
    weights: list(value),
    biases: list(maybe(value)) as Codec<readonly (ValueId | undefined)[]>,
    combine: word(["concatenate", "pair"]),
    epilogue: elements,
    columnRows: list(word(rowClasses)),
  }),
  norm: syntax<"norm">()(["input"], { heads: number, weight: value, epsilon: number, epilogue: elements }),
  map: syntax<"map">()([], { expression: elements }),
  rotate: syntax<"rotate">()(["input"], { heads: number, frequencies, index: ropeIndex, amplitude: number }),
  "store-keys": syntax<"store-keys">()([], {
    query: slice,
    key: slice,
    value: slice,
    width: number,
    queryNorm: headNorm,
    keyNorm: headNorm,
    queryRope: rotation,
    keyRope: rotation,
    attend: number,
  }),
  "cached-attention": syntax<"cached-attention">()(["query"], {
    heads: number,
    kvHeads: number,
    width: number,
    attend: number,
    scale: number,
  }),
};
