/** Small vectors over rows or components, whose width is a compile-time parameter: one element is a scalar. */
import { max, type Value, vector } from "../../ir/kernel/builder.js";
import { widthOf } from "../../ir/kernel/types.js";
import { times } from "../times.js";

/** Scalars as one vector; a single one stays a scalar. */
export const pack = (parts: readonly Value[]): Value => (parts.length === 1 ? parts[0]! : vector("f32", parts));

const components = (value: Value): Value[] => times(widthOf(value.type), (index) => value.component(index));

export const sumOfComponents = (value: Value): Value => components(value).reduce((a, b) => a.add(b));

export const largestComponent = (value: Value): Value => components(value).reduce((a, b) => max(a, b));
