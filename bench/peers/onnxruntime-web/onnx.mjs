// ONNX files: the messages of onnx.proto that a graph of operators and weights takes, with their field numbers.
import { bytes, concat, float, number, string } from "./protobuf.mjs";

const dataTypes = { f32: 1, i32: 6, i64: 7, f16: 10 };
const attributeTypes = { float: 1, int: 2, ints: 7 };

/** A weight. `values` is a typed array in the type's own bytes. */
export function tensor(name, type, shape, values) {
  return concat(
    shape.map((size) => number(1, size)),
    number(2, dataTypes[type]),
    string(8, name),
    bytes(9, new Uint8Array(values.buffer, values.byteOffset, values.byteLength)),
  );
}

/** What goes into a graph or comes out of it; sizes are numbers or names. */
export function value(name, type, shape) {
  const dimension = (size) => bytes(1, concat(typeof size === "number" ? number(1, size) : string(2, size)));
  const tensorType = concat(number(1, dataTypes[type]), bytes(2, concat(shape.map(dimension))));
  return concat(string(1, name), bytes(2, concat(bytes(1, tensorType))));
}

/** An operator. Whole numbers are integer attributes; `{ float: x }` is another kind. */
export function node(operator, inputs, outputs, attributes = {}, domain = "") {
  return concat(
    inputs.map((input) => string(1, input)),
    outputs.map((output) => string(2, output)),
    string(
      3,
      outputs.find((output) => output !== ""),
    ),
    string(4, operator),
    Object.entries(attributes).map(([name, given]) => bytes(5, attribute(name, given))),
    ...(domain === "" ? [] : [string(7, domain)]),
  );
}

function attribute(name, given) {
  if (typeof given === "number") return concat(string(1, name), number(3, given), number(20, attributeTypes.int));
  return concat(string(1, name), float(2, given.float), number(20, attributeTypes.float));
}

export function model({ name, nodes, inputs, outputs, weights }) {
  const graph = concat(
    nodes.map((each) => bytes(1, each)),
    string(2, name),
    weights.map((each) => bytes(5, each)),
    inputs.map((each) => bytes(11, each)),
    outputs.map((each) => bytes(12, each)),
  );
  const operators = (domain, version) => bytes(8, concat(string(1, domain), number(2, version)));
  return concat(
    number(1, 10),
    string(2, "phdc bench"),
    bytes(7, graph),
    operators("", 21),
    operators("com.microsoft", 1),
  );
}
