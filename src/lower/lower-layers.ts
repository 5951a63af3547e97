/**
 * The layer loop.
 *
 * Before: bodies refer to operations around the loop as they please.
 * After:  a body sees weights it declares itself, and values that are carried into it. A value from outside that no layer changes (the
 *         embedding that every layer adds again, say) is carried through unchanged.
 */
import type { CheckedLayerClass, CheckedOp, LayersOp } from "../dsl/check/checked-model.js";
import type { ValueId } from "../ir/graph/ops.js";
import { BodyLowering, hasRows } from "./lower-body.js";

/** Appends the loop to the block of `outer` and returns what leaves the last layer, carried variables first. */
export function lowerLayers(loop: LayersOp, outer: BodyLowering): ValueId[] {
  const captured = capturedValues(loop);
  const inputs = [...loop.inputs, ...captured];
  const carriedNames = loop.classes[0]!.carried.map((carried) => carried.name);
  const names = [...carriedNames, ...captured.map((op) => outer.nameOf(op))];
  return outer.block.layers({
    count: loop.count,
    inputs: inputs.map((op) => outer.valueOf(op)),
    names,
    origin: loop.span,
    classOf: loop.classOf,
    classes: loop.classes.map((layerClass) => ({
      name: layerClass.name,
      build: (block, args) => {
        const body = new BodyLowering(block, layerClass.body, outer.state);
        const entering = [...layerClass.carried, ...captured];
        for (const [index, op] of entering.entries()) body.define(op, args[index]!);
        body.lowerOps();
        return [...layerClass.yields.map((op) => body.valueOf(op)), ...args.slice(layerClass.carried.length)];
      },
    })),
  });
}

/** Tensors computed around the loop that a body reads, weights (and what is computed from them alone) excepted, in the order of their first use. */
function capturedValues(loop: LayersOp): CheckedOp[] {
  const captured = new Set<CheckedOp>();
  for (const layerClass of loop.classes) {
    const inside = new Set<CheckedOp>([...layerClass.carried, ...opsOf(layerClass)]);
    for (const operand of [...opsOf(layerClass).flatMap(operandsOf), ...layerClass.yields]) {
      if (!inside.has(operand) && hasRows(operand)) captured.add(operand);
    }
  }
  return [...captured];
}

function opsOf({ body }: CheckedLayerClass): CheckedOp[] {
  return body.ops.filter((op) => op.kind !== "layers");
}

function operandsOf(op: CheckedOp): CheckedOp[] {
  switch (op.kind) {
    case "input":
    case "weight":
    case "carried":
    case "loop-result":
      return [];
    case "embed":
      return [op.ids, op.table];
    case "linear":
      return op.bias === undefined ? [op.input, op.weight] : [op.input, op.weight, op.bias];
    case "rms-norm":
      return op.weight === undefined ? [op.input] : [op.input, op.weight];
    case "attention":
      return [op.query, op.key, op.value];
    case "binary":
      return [op.left, op.right];
    default:
      return [op.input];
  }
}
