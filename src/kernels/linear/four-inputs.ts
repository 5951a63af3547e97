/** What tiled products bring into workgroup memory. */
import { constantOf, type KernelBuilder, type Memory, type Value, vector } from "../../ir/kernel/builder.js";
import { times } from "../times.js";
import { vectorWidth } from "./options.js";

/** Four neighbouring inputs of a row of floats from `first` on, in f32; zeros where the row or the input is not there. */
export function fourInputs(
  k: KernelBuilder,
  name: string,
  memory: Memory,
  inputs: number,
  row: Value,
  first: Value,
  there: Value,
): Value {
  const width = vectorWidth(inputs);
  const vectors = inputs / width;
  const result = k.var(name, constantOf("vec4<f32>", 0));
  const load = (index: Value) => memory.at(row.mul(vectors).add(index)).toF32();
  if (width === 4) {
    k.if(there.and(first.lt(inputs)), () => result.set(load(first.div(4))));
    return result;
  }
  const parts = times(4 / width, (part) => {
    const loaded = k.var(`${name}_part`, constantOf(width === 2 ? "vec2<f32>" : "f32", 0));
    const index = first.add(part * width);
    k.if(there.and(index.lt(inputs)), () => loaded.set(load(index.div(width))));
    return loaded;
  });
  const components = parts.flatMap((part) => times(width, (component) => part.component(component)));
  result.set(vector("f32", components));
  return result;
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
