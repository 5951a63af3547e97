/**
 * Products on matrix units: what the kernels for few and for many rows share.
 *
 * The weights are the left operand, so 16 outputs are the rows of a product and 8 input rows are its columns. Weights are packed as
 * `fragments` (see `WeightInfo.layout`): 16 × 16 tiles, a row of tiles after the other, and a lane's eight halves lie together.
 */
import { InternalError } from "../../diagnostics/diagnostic.js";
import { packHalves, type Value, vector } from "../../ir/kernel/builder.js";
import type { HalfFormat } from "../../ir/kernel/expressions.js";
import { fragmentLanes, productShape } from "../../ir/kernel/fragments.js";
import type { LinearOptions } from "./options.js";

/** Rows of weights in a tile, and its columns. */
export const tileSide = productShape.depth;
/** Input rows of one product. */
export const productRows = productShape.columns;
/** One 16-byte word per lane. */
export const tileWords = fragmentLanes;

/** Whether a product with these weights can run on matrix units. */
export function takesFragments({ element, capabilities }: Pick<LinearOptions, "element" | "capabilities">): boolean {
  return capabilities.matrix && element !== "f32";
}

/** Tiles along the inputs. */
export function depthTiles({ inputs }: Pick<LinearOptions, "inputs">): number {
  return Math.ceil(inputs / tileSide);
}

/** Rows of tiles of one matrix; the next matrix of a pair starts with a tile of its own. */
export function bandsOf({ outputs }: Pick<LinearOptions, "outputs">): number {
  return Math.ceil(outputs / tileSide);
}

export function halfFormat({ element }: Pick<LinearOptions, "element">): HalfFormat {
  if (element === "f32") throw new InternalError("matrix units take 16-bit weights");
  return element;
}

/** Two pairs of inputs as the right operand of a product. */
export function rightOperand(format: HalfFormat, low: Value, high: Value): Value {
  return vector("u32", [packHalves(format, low), packHalves(format, high)]);
}
