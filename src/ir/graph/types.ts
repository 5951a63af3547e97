/**
 * The types of results: one rule per operation, used by the builder (which computes them) and the verifier (which checks them).
 */
import { InternalError, unreachable } from "../../diagnostics/diagnostic.js";
import type { Dim, ElementExpr, HeadSlice, Op, TensorType, ValueId } from "./ops.js";

/** An operation without its results; what a builder is given. */
export type NewOp = WithoutResults<Op>;
type WithoutResults<T> = T extends Op ? Omit<T, "results"> : never;

export type TypeLookup = (value: ValueId) => TensorType;

export const floats = (...shape: Dim[]): TensorType => ({ element: "float", shape });
export const ints = (...shape: Dim[]): TensorType => ({ element: "int", shape });

/** `float[tokens, 128]`. */
export function describeType(type: TensorType): string {
  return `${type.element}[${type.shape.join(", ")}]`;
}

export function sameType(left: TensorType, right: TensorType): boolean {
  return left.element === right.element && sameShape(left.shape, right.shape);
}

function sameShape(left: readonly Dim[], right: readonly Dim[]): boolean {
  return left.length === right.length && left.every((dim, index) => dim === right[index]);
}

/** Whether the leading dimension counts rows (positions or tokens); weights and vectors have none. */
export function hasRows(type: TensorType): boolean {
  return typeof type.shape[0] === "string";
}

/** Elements of one row: the product of all dimensions but the row axis. */
export function rowWidth(type: TensorType): number {
  return (hasRows(type) ? type.shape.slice(1) : type.shape).reduce<number>((product, dim) => product * Number(dim), 1);
}

/**
 * The types of an operation's results, from those of its operands.
 *
 * Throws InternalError when the operands do not fit: the checker has already told the user about shapes.
 * Inputs and weights declare their types, so they have no rule (the caller passes them on).
 */
export function resultTypes(op: Exclude<NewOp, { kind: "input" | "weight" }>, typeOf: TypeLookup): TensorType[] {
  const expect = (condition: boolean, problem: string): void => {
    if (!condition) throw new InternalError(`${op.kind}: ${problem}`);
  };
  const expectVector = (value: ValueId | undefined, width: number, what: string): void => {
    if (value !== undefined) {
      const type = typeOf(value);
      expect(sameType(type, floats(width)), `${what} is ${describeType(type)}, expected float[${width}]`);
    }
  };
  /** Floats of two or three dimensions, [rows, width] or [rows, heads, width]; weights have a number for rows. */
  const expectFloats = (value: ValueId, what: string, dimensions: 2 | 3): readonly Dim[] => {
    const type = typeOf(value);
    const wanted = dimensions === 2 ? "[rows, width]" : "[rows, heads, width]";
    expect(
      type.element === "float" && type.shape.length === dimensions,
      `${what} is ${describeType(type)}, expected ${wanted}`,
    );
    return type.shape;
  };
  const expectRows = (value: ValueId, what: string): { rows: Dim; width: number } => {
    const [rows, width] = expectFloats(value, what, 2);
    expect(hasRows(typeOf(value)), `${what} is ${describeType(typeOf(value))}, which stands over no tokens`);
    return { rows: rows!, width: Number(width) };
  };
  const expectHeads = (value: ValueId, what: string): { rows: Dim; heads: number; width: number } => {
    const [rows, heads, width] = expectFloats(value, what, 3);
    return { rows: rows!, heads: Number(heads), width: Number(width) };
  };
  const expectMatrix = (value: ValueId, what: string): { out: number; in: number } => {
    const type = typeOf(value);
    expect(
      type.element === "float" && type.shape.length === 2 && !hasRows(type),
      `${what} is ${describeType(type)}, expected [out, in]`,
    );
    return { out: Number(type.shape[0]), in: Number(type.shape[1]) };
  };
  const expectElements = (expr: ElementExpr, rows: Dim, width: number, accumulators: number): void => {
    switch (expr.kind) {
      case "accumulator":
        expect(expr.index >= 0 && expr.index < accumulators, `there is no accumulator ${expr.index}`);
        return;
      case "operand": {
        const type = typeOf(expr.value);
        const full = sameType(type, floats(rows, width));
        const vector = type.element === "float" && type.shape.length === 1 && width % Number(type.shape[0]) === 0;
        expect(full || vector, `operand ${describeType(type)} does not fit [${rows}, ${width}]`);
        return;
      }
      case "unary":
      case "scale":
        expectElements(expr.input, rows, width, accumulators);
        return;
      case "binary":
        expectElements(expr.left, rows, width, accumulators);
        expectElements(expr.right, rows, width, accumulators);
        return;
      default:
        unreachable(expr);
    }
  };
  const expectSlice = (slice: HeadSlice, width: number, what: string): Dim => {
    const value = expectRows(slice.value, what);
    expect(
      slice.offset >= 0 && slice.offset + slice.heads * width <= value.width,
      `${what} takes columns ${slice.offset}..${slice.offset + slice.heads * width} of ${value.width}`,
    );
    return value.rows;
  };

  switch (op.kind) {
    case "embed": {
      const ids = typeOf(op.ids);
      const table = expectMatrix(op.table, "table");
      expect(sameType(ids, ints("positions")), `ids are ${describeType(ids)}, expected int[positions]`);
      return [floats(op.copies === undefined ? "positions" : "tokens", table.in)];
    }
    case "repeat-tokens":
    case "select-copy": {
      const { element, shape } = typeOf(op.input);
      const [from, to]: [Dim, Dim] = op.kind === "repeat-tokens" ? ["positions", "tokens"] : ["tokens", "positions"];
      expect(shape[0] === from, `input is ${describeType({ element, shape })}, expected rows over ${from}`);
      return [{ element, shape: [to, ...shape.slice(1)] }];
    }
    case "linear": {
      const input = typeOf(op.input);
      const weight = expectMatrix(op.weight, "weight");
      expect(
        input.shape.length >= 2 && input.shape.at(-1) === weight.in,
        `input is ${describeType(input)}, weight takes ${weight.in}`,
      );
      expectVector(op.bias, weight.out, "bias");
      return [floats(...input.shape.slice(0, -1), weight.out)];
    }
    case "rms-norm": {
      const input = typeOf(op.input);
      expect(typeof input.shape.at(-1) === "number", `input is ${describeType(input)}`);
      expectVector(op.weight, Number(input.shape.at(-1)), "weight");
      return [input];
    }
    case "split-heads": {
      const [rows, columns] = expectFloats(op.input, "input", 2);
      const width = Number(columns);
      expect(width % op.heads === 0, `${width} columns do not split into ${op.heads} heads`);
      return [floats(rows!, op.heads, width / op.heads)];
    }
    case "merge-heads": {
      const { rows, heads, width } = expectHeads(op.input, "input");
      return [floats(rows, heads * width)];
    }
    case "rope": {
      const { width } = expectHeads(op.input, "input");
      expect(op.frequencies.length * 2 === width, `${op.frequencies.length} frequencies for heads of width ${width}`);
      return [typeOf(op.input)];
    }
    case "attention": {
      const query = expectHeads(op.query, "query");
      const key = expectHeads(op.key, "key");
      const value = expectHeads(op.value, "value");
      expect(hasRows(typeOf(op.query)), "the query stands over no tokens");
      expect(query.rows === key.rows && key.rows === value.rows, "query, key and value stand over different rows");
      expect(key.heads === value.heads && query.heads % key.heads === 0, `${query.heads} heads on ${key.heads}`);
      expect(query.width === key.width && key.width === value.width, "heads differ in width");
      return [typeOf(op.query)];
    }
    case "unary":
    case "scale":
      return [typeOf(op.input)];
    case "binary": {
      const left = typeOf(op.left);
      const right = typeOf(op.right);
      expect(
        sameType(left, right) || sameType(right, { element: left.element, shape: left.shape.slice(-1) }),
        `operands are ${describeType(left)} and ${describeType(right)}`,
      );
      return [left];
    }
    case "layers":
      return op.inputs.map(typeOf);
    case "fused-linear": {
      const input = expectRows(op.input, "input");
      expectVector(op.norm?.weight, input.width, "norm weight");
      const matrices = op.weights.map((weight) => expectMatrix(weight, "weight"));
      expect(matrices.length > 0 && op.biases.length === matrices.length, "there must be one bias entry per weight");
      for (const [index, matrix] of matrices.entries()) {
        expect(matrix.in === input.width, `weight ${index} takes ${matrix.in} columns, the input has ${input.width}`);
        expectVector(op.biases[index], matrix.out, `bias ${index}`);
      }
      const concatenated = op.combine === "concatenate";
      expect(concatenated || matrices.every(({ out }) => out === matrices[0]!.out), "paired weights differ in shape");
      expect(op.columnRows === undefined || op.columnRows.length === matrices.length, "columnRows names every weight");
      const width = concatenated ? matrices.reduce((sum, { out }) => sum + out, 0) : matrices[0]!.out;
      expectElements(op.epilogue, input.rows, width, concatenated ? 1 : matrices.length);
      return [floats(input.rows, width)];
    }
    case "norm": {
      const { rows, width } = expectRows(op.input, "input");
      const heads = op.heads ?? 1;
      expect(width % heads === 0, `${width} columns do not split into ${heads} heads`);
      expectVector(op.weight, width / heads, "weight");
      expectElements(op.epilogue, rows, width, 1);
      return [floats(rows, width)];
    }
    case "map": {
      const shape = fullOperand(op.expression, typeOf);
      expect(shape !== undefined, "no operand has rows");
      const [rows, width] = shape!.shape;
      expectElements(op.expression, rows!, Number(width), 0);
      return [shape!];
    }
    case "rotate": {
      const { width } = expectRows(op.input, "input");
      expect(op.frequencies.length * 2 * op.heads === width, `${op.heads} heads do not fill ${width} columns`);
      return [typeOf(op.input)];
    }
    case "store-keys": {
      const rows = [
        expectSlice(op.query, op.width, "query"),
        expectSlice(op.key, op.width, "key"),
        expectSlice(op.value, op.width, "value"),
      ];
      expect(
        rows.every((axis) => axis === rows[0]),
        "query, key and value stand over different rows",
      );
      expect(op.key.heads === op.value.heads && op.query.heads % op.key.heads === 0, "heads do not group");
      for (const [norm, slice] of [
        [op.queryNorm, op.query],
        [op.keyNorm, op.key],
      ] as const) {
        expectVector(norm?.weight, norm?.over === "row" ? slice.heads * op.width : op.width, "norm weight");
      }
      for (const rope of [op.queryRope, op.keyRope]) {
        expect(rope === undefined || rope.frequencies.length * 2 === op.width, "frequencies do not fit the width");
      }
      return [floats(rows[0]!, op.query.heads * op.width)];
    }
    case "cached-attention": {
      const { width } = expectRows(op.query, "query");
      expect(width === op.heads * op.width && op.heads % op.kvHeads === 0, "the query does not fit the heads");
      return [typeOf(op.query)];
    }
    default:
      return unreachable(op);
  }
}

/** The type of the first operand that has rows; it gives a `map` its shape. */
function fullOperand(expr: ElementExpr, typeOf: TypeLookup): TensorType | undefined {
  switch (expr.kind) {
    case "accumulator":
      return undefined;
    case "operand":
      return hasRows(typeOf(expr.value)) ? typeOf(expr.value) : undefined;
    case "unary":
    case "scale":
      return fullOperand(expr.input, typeOf);
    case "binary":
      return fullOperand(expr.left, typeOf) ?? fullOperand(expr.right, typeOf);
    default:
      return unreachable(expr);
  }
}
