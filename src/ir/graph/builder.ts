/**
 * Builds graphs: names are made unique, types are computed, operands that do not fit are refused.
 *
 *     const graph = new GraphBuilder();
 *     const ids = graph.top.input("ids");
 *     const x = graph.top.add({ kind: "embed", ids, table: graph.top.weight("model.embed_tokens.weight", [65, 128]) }, "x");
 *     const [y] = graph.top.layers({ inputs: [x], count: 4, classes: [{ name: "every layer", build: (body, [h]) => [layer(body, h)] }] });
 *     return graph.finish([head(graph.top, y)], { name: "phd-2", parameters, copies: 2, predictCopy: 2, attends });
 */
import { InternalError } from "../../diagnostics/diagnostic.js";
import type { Span } from "../../source/source-file.js";
import type { Block, Graph, Layers, Op, RowClass, TensorType, Value, ValueId } from "./ops.js";
import { floats, ints, type NewOp, resultTypes } from "./types.js";

/** Operations with one result whose type follows from the operands: all but inputs, weights and loops. */
export type PlainOp = Exclude<NewOp, { kind: "input" | "weight" | "layers" }>;

/** What the builders of one graph share: the next id, the names in use and the type of every value. */
export class ValueTable {
  private next = 0;
  private readonly names = new Set<string>();
  private readonly types = new Map<ValueId, TensorType>();

  /** A new value. A name that is taken gets a number: `scores`, `scores_1`, … */
  define(name: string, type: TensorType): Value {
    const value = { id: this.next++, name: this.uniqueName(name), type };
    this.types.set(value.id, type);
    return value;
  }

  /** Takes over a value of a graph that is being rewritten, possibly with another type. */
  adopt(value: Value, type: TensorType): Value {
    this.next = Math.max(this.next, value.id + 1);
    this.names.add(value.name);
    this.types.set(value.id, type);
    return value.type === type ? value : { ...value, type };
  }

  typeOf(value: ValueId): TensorType {
    const type = this.types.get(value);
    if (type === undefined) throw new InternalError(`value ${value} is not defined`);
    return type;
  }

  private uniqueName(wanted: string): string {
    const base = wanted.replaceAll(/[^A-Za-z0-9_]/g, "_").replace(/^(?=\d|$)/, "v") || "v";
    let name = base;
    for (let suffix = 1; this.names.has(name); suffix++) name = `${base}_${suffix}`;
    this.names.add(name);
    return name;
  }
}

export interface LayersInit {
  readonly count: number;
  readonly inputs: readonly ValueId[];
  readonly classes: readonly {
    readonly name: string;
    /** Names of the carried values inside; those of the inputs' results when absent. */
    readonly argNames?: readonly string[];
    /** Fills the body and returns what the layer yields, one value per input. */
    readonly build: (body: BlockBuilder, args: readonly ValueId[]) => readonly ValueId[];
  }[];
  /** Layer index → class; every layer is of class 0 when absent. */
  readonly classOf?: readonly number[];
  readonly names?: readonly string[];
  readonly origin?: Span;
}

/** Appends operations to one block. */
export class BlockBuilder {
  readonly ops: Op[] = [];
  /** Given to every operation that brings none of its own; rewrites set it to the operation they replace. */
  defaultOrigin?: Span;
  defaultRows?: RowClass;

  /** `outer` is the builder of the block around this one. */
  constructor(
    private readonly values: ValueTable,
    readonly outer?: BlockBuilder,
  ) {}

  typeOf(value: ValueId): TensorType {
    return this.values.typeOf(value);
  }

  /** Appends an operation and returns the value it defines. */
  add(op: PlainOp, name: string = op.kind): ValueId {
    const [type] = resultTypes(op, (value) => this.typeOf(value));
    return this.append(op, [this.values.define(name, type!)])[0]!;
  }

  input(name = "ids", origin?: Span): ValueId {
    return this.append({ kind: "input", origin }, [this.values.define(name, ints("positions"))])[0]!;
  }

  weight(tensor: string, shape: readonly number[], name = shortName(tensor), origin?: Span): ValueId {
    return this.append({ kind: "weight", tensor, origin }, [this.values.define(name, floats(...shape))])[0]!;
  }

  /** Appends a layer loop and returns what leaves the last layer. */
  layers(init: LayersInit): ValueId[] {
    const types = init.inputs.map((input) => this.typeOf(input));
    const classes = init.classes.map(({ name, argNames, build }) => {
      const body = new BlockBuilder(this.values, this);
      const args = types.map((type, index) =>
        this.values.define(argNames?.[index] ?? init.names?.[index] ?? "carried", type),
      );
      const yields = build(
        body,
        args.map(({ id }) => id),
      );
      return { name, body: { args, ops: body.ops, yields } satisfies Block };
    });
    const op: Omit<Layers, "results"> = {
      kind: "layers",
      count: init.count,
      inputs: init.inputs,
      classes,
      classOf: init.classOf ?? Array.from({ length: init.count }, () => 0),
      origin: init.origin,
    };
    return this.append(
      op,
      types.map((type, index) => this.values.define(init.names?.[index] ?? "carried", type)),
    );
  }

  /** Appends an operation whose results the caller has defined. */
  append(op: NewOp, results: readonly Value[]): ValueId[] {
    const { origin = this.defaultOrigin, rows = this.defaultRows, ...fields } = op;
    this.ops.push({ ...fields, results, ...(origin && { origin }), ...(rows && { rows }) } as Op);
    return results.map(({ id }) => id);
  }
}

/** The last words of a tensor's name that say something: `q_proj`, `q_proj_bias`, `embed_tokens`. */
export function shortName(tensor: string): string {
  const words = tensor.split(".").filter((word) => word !== "weight");
  return words.at(-1) === "bias" ? words.slice(-2).join("_") : (words.at(-1) ?? tensor);
}

export class GraphBuilder {
  private readonly values = new ValueTable();
  readonly top = new BlockBuilder(this.values);

  /** Closes the graph; `yields` are its outputs (the logits). */
  finish(yields: readonly ValueId[], facts: Omit<Graph, "body">): Graph {
    return { ...facts, body: { args: [], ops: this.top.ops, yields } };
  }
}
