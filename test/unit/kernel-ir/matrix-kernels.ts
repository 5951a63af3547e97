import { buildKernel, f32, type KernelBuilder, u32, type Value, vector } from "../../../src/ir/kernel/builder.js";
import { cellOfA, productShape } from "../../../src/ir/kernel/fragments.js";
import { bfloatToBits } from "../../../src/ir/kernel/half.js";
import type { Kernel } from "../../../src/ir/kernel/kernel.js";

/**
 * y = weights × x for eight rows of x on matrix units, in bf16 with f32 sums. The weights are the left operand, so that the rows,
 * the copies of a token, are the eight columns of a product.
 *
 * weights: 16 × 16 tiles in fragment order, one 16-byte word per lane, tile after tile along the depth, then along the outputs.
 * x: [8][depth] bf16 in pairs. y: [8][outputs] f32. One subgroup per 16 outputs, four subgroups per workgroup.
 */
export function bf16Product(): Kernel {
  const options = {
    doc: "Multiplies 16 outputs of the packed weights with eight rows of x per subgroup.",
    dispatch: "outputs / 64 workgroups",
    workgroupSize: 128,
  };
  return buildKernel("bf16_product", options, (k) => {
    const weights = k.read("weights", "vec4<u32>", "weight");
    const x = k.read("x", "u32");
    const y = k.readWrite("y", "f32");
    const depth = k.param("depth");
    const outputs = k.param("outputs");

    const lane = k.let("lane", k.localId.rem(32));
    const band = k.let("band", k.workgroupId.x.mul(4).add(k.localId.div(32)));
    const tiles = k.let("tiles", depth.div(16));
    const row = k.let("row", lane.div(4));
    const sum = k.var("sum", vector("f32", [f32(0), f32(0), f32(0), f32(0)]));
    k.for("tile", { to: tiles }, (tile) => {
      const a = k.let("a", weights.at(band.mul(tiles).add(tile).mul(32).add(lane)));
      const pair = k.let("pair", row.mul(depth.div(2)).add(tile.mul(8)).add(lane.rem(4)));
      const b = k.let("b", vector("u32", [x.at(pair), x.at(pair.add(4))]));
      sum.set(k.mma("product", "bf16", a, b, sum));
    });
    storeSums(k, sum, lane, (output, column) => {
      return { memory: y, place: column.mul(outputs).add(band.mul(16)).add(output) };
    });
  });
}

/** The same for one band of 16 outputs, through workgroup memory: asynchronous copies in two stages, then matrix loads. */
export function stagedProduct(): Kernel {
  const options = {
    doc: "Multiplies 16 rows of weights with eight rows of x, staged through workgroup memory.",
    dispatch: "one workgroup",
    workgroupSize: 32,
  };
  return buildKernel("staged_product", options, (k) => {
    const weights = k.read("weights", "vec4<u32>", "weight");
    const x = k.read("x", "vec4<u32>");
    const y = k.readWrite("y", "f32");
    const depth = k.param("depth");
    // Two stages of a 16 × 16 tile of weights and an 8 × 16 tile of x; a row of 16 halves is two words of 16 bytes.
    const weightTile = k.workgroupArray("weight_tile", "vec4<u32>", 64);
    const xTile = k.workgroupArray("x_tile", "vec4<u32>", 32);

    const lane = k.let("lane", k.localId);
    const words = k.let("words", depth.div(8));
    const tiles = k.let("tiles", depth.div(16));
    const start = (tile: Value) => {
      const stage = k.let("next_stage", tile.rem(2));
      const place = k.let("place", lane.div(2).mul(words).add(tile.mul(2)).add(lane.rem(2)));
      k.asyncCopy(weightTile, stage.mul(32).add(lane), weights, place, { when: tile.lt(tiles) });
      k.if(lane.lt(16), () => k.asyncCopy(xTile, stage.mul(16).add(lane), x, place, { when: tile.lt(tiles) }));
      k.asyncCommit();
    };
    const sum = k.var("sum", vector("f32", [f32(0), f32(0), f32(0), f32(0)]));
    start(u32(0));
    k.for("tile", { to: tiles }, (tile) => {
      start(tile.add(1));
      k.asyncWait(1);
      k.barrier();
      const stage = k.let("stage", tile.rem(2));
      // Matrices 0 and 1 are the upper and lower rows of the left half of the depth, 2 and 3 of the right half.
      const rowOfA = k.let("row_of_a", lane.rem(16).mul(2).add(lane.div(16)));
      const a = k.matrixLoad("a", weightTile, stage.mul(32).add(rowOfA), 4);
      const rowOfB = k.let("row_of_b", lane.rem(8).mul(2).add(lane.div(8).rem(2)));
      const b = k.matrixLoad("b", xTile, stage.mul(16).add(rowOfB), 2);
      sum.set(k.mma("product", "bf16", a, b, sum));
      k.barrier();
    });
    storeSums(k, sum, lane, (output, column) => ({ memory: y, place: column.mul(16).add(output) }));
  });
}

type Target = (output: Value, column: Value) => { memory: ReturnType<KernelBuilder["readWrite"]>; place: Value };

function storeSums(k: KernelBuilder, sum: Value, lane: Value, target: Target): void {
  const output = k.let("output", lane.div(4));
  const column = k.let("column", lane.rem(4).mul(2));
  [sum.x, sum.y, sum.z, sum.w].forEach((value, i) => {
    const { memory, place } = target(output.add(i >= 2 ? 8 : 0), column.add(i % 2));
    memory.set(place, value);
  });
}

/** Packs row-major weights [outputs][depth] as bf16 in the order in which lanes load them. */
export function packFragments(weights: Float32Array, outputs: number, depth: number): Uint32Array {
  const { rows, depth: tileDepth } = productShape;
  const packed = new Uint32Array((outputs * depth) / 2);
  let word = 0;
  for (let band = 0; band < outputs / rows; band++) {
    for (let tile = 0; tile < depth / tileDepth; tile++) {
      for (let lane = 0; lane < 32; lane++) {
        for (let pair = 0; pair < 4; pair++) {
          const bits = [0, 1].map((odd) => {
            const { row, column } = cellOfA(lane, pair * 2 + odd);
            return bfloatToBits(weights[(band * rows + row) * depth + tile * tileDepth + column]!);
          });
          packed[word++] = (bits[0]! | (bits[1]! << 16)) >>> 0;
        }
      }
    }
  }
  return packed;
}

/** bf16 values in pairs, the first in the low half. */
export function packPairs(values: Float32Array): Uint32Array {
  return Uint32Array.from({ length: values.length / 2 }, (_, i) => {
    return (bfloatToBits(values[2 * i]!) | (bfloatToBits(values[2 * i + 1]!) << 16)) >>> 0;
  });
}
