/** What tiled products bring into workgroup memory. */
import { constantOf, type KernelBuilder, type Memory, type Value, vector, vectorOf } from "../../ir/kernel/builder.js";
import { scalarOf } from "../../ir/kernel/types.js";
import { times } from "../times.js";
import { vectorWidth } from "./options.js";

/** Registers for four neighbouring inputs of a row. What is loaded may still be under way until it is asked for. */
export interface FourInputs {
  /** Loads those from `first` on, a multiple of 4; what the row lacks, and everything where `there` does not hold, becomes 0. */
  load(row: Value, first: Value, there: Value): void;
  /** What was loaded last, in f32. */
  get(): Value;
}

/** For rows of floats that are `inputs` long. */
export function fourInputs(k: KernelBuilder, name: string, memory: Memory, inputs: number): FourInputs {
  const width = vectorWidth(inputs);
  const vectors = inputs / width;
  // As they are stored: a conversion beside the load would wait for it. There are no constants of bf16.
  const convert = (value: Value) => (scalarOf(memory.type) === "bf16" ? value.toF32() : value);
  const scalar = scalarOf(memory.type) === "bf16" ? "f32" : (scalarOf(memory.type) as "f32" | "f16");
  const parts = times(4 / width, () => k.var(name, constantOf(vectorOf(scalar, width), 0)));
  return {
    load: (row, first, there) => {
      parts.forEach((part, index) => {
        const input = first.add(index * width);
        part.set(constantOf(vectorOf(scalar, width), 0));
        k.if(there.and(input.lt(inputs)), () => {
          part.set(convert(memory.at(row.mul(vectors).add(input.div(width)))));
        });
      });
    },
    get: () => {
      const converted = parts.map((part) => part.toF32());
      if (width === 4) return k.let(name, converted[0]!);
      return k.let(
        name,
        vector(
          "f32",
          converted.flatMap((part) => times(width, (component) => part.component(component))),
        ),
      );
    },
  };
}

/** Stores four neighbouring elements of a row of floats from `first` on, those that the row has, where `there` holds. */
export function storeFour(memory: Memory, inputs: number, row: Value, first: Value, there: Value, values: Value): void {
  const width = vectorWidth(inputs);
  times(4 / width, (part) => {
    const index = first.add(part * width);
    const own = times(width, (component) => values.component(part * width + component));
    const stored = width === 1 ? own[0]! : vector("f32", own);
    memory.set(row.mul(inputs / width).add(index.div(width)), stored, { when: there.and(index.lt(inputs)) });
  });
}
