/** Words of eight halves that a finished head is laid out in, for matrix units. */
import { allOf, constantOf, type KernelBuilder, packHalves, type Value, vector } from "../../ir/kernel/builder.js";
import type { HalfFormat } from "../../ir/kernel/expressions.js";
import { vectorOf } from "../../ir/kernel/types.js";
import { times } from "../times.js";

/** Components of the vectors that are put together to words. */
export const wordVector = (width: number): 1 | 2 => (width % 2 === 0 ? 2 : 1);

export interface HeadWord {
  /** Which eight components. */
  readonly part: Value;
  readonly there: Value;
  /** Gives vectors of `wordVector` components; called where the head is there. */
  head(): (component: Value) => Value;
}

/** Zeros where the head is not there, and behind its end. */
export function headWord(k: KernelBuilder, width: number, format: HalfFormat, { part, there, head }: HeadWord): Value {
  const word = k.var("word", constantOf("vec4<u32>", 0));
  const whole = width % 8 === 0;
  // Steps of matrix units are two words.
  const inside = width % 16 === 8 ? allOf(there, part.lt(width / 8)) : there;
  k.if(inside, () => {
    const at = head();
    const unit = wordVector(width);
    const load = (component: Value): Value => {
      if (whole) return at(component.div(unit));
      const loaded = k.var("loaded", constantOf(vectorOf("f32", unit), 0));
      k.if(component.lt(width), () => loaded.set(at(component.div(unit))));
      return loaded;
    };
    const pairs = times(4, (index) => {
      const component = k.let("component", part.mul(8).add(2 * index));
      return unit === 2 ? load(component) : vector("f32", [load(component), load(component.add(1))]);
    });
    word.set(
      vector(
        "u32",
        pairs.map((pair) => packHalves(format, pair)),
      ),
    );
  });
  return word;
}
