import { expect, it } from "vitest";
import { buildKernel, f32, u32 } from "../../../src/ir/kernel/builder.js";
import { printKernel } from "../../../src/ir/kernel/print.js";

it("what a kernel never uses is not in it, but its interface and its barriers are", () => {
  const kernel = buildKernel("trial", { doc: "A trial.", dispatch: "one workgroup", workgroupSize: 8 }, (k) => {
    const x = k.read("x", "f32");
    const y = k.readWrite("y", "f32");
    k.param("length");
    const tile = k.workgroupArray("tile", "f32", 8);
    const value = k.let("value", x.at(k.localId));
    k.let("twice", value.mul(2));
    const last = k.var("last", u32(0));
    k.for("i", { to: 4 }, (i) => last.set(i));
    k.registers("parts", "f32", 4).set(0, value);
    tile.set(k.localId, value);
    k.if(value.gt(0), () => k.comment("Nothing to do."));
    k.barrier();
    y.set(k.localId, f32(1));
  });
  expect(printKernel(kernel)).toMatchInlineSnapshot(`
    "kernel trial workgroup 8 {
      doc "A trial."
      dispatch "one workgroup"
      buffer x: f32 read activation
      buffer y: f32 read_write activation
      param length: u32

      barrier
      y[@local_id] = 1f
    }
    "
  `);
});
