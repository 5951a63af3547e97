import { describe, expect, it } from "vitest";
import { runKernel } from "../../../src/interpret/kernel/run-kernel.js";
import { buildKernel, f32, i32, type KernelBuilder, u32 } from "../../../src/ir/kernel/builder.js";
import { roundToHalf } from "../../../src/ir/kernel/half.js";
import type { Kernel } from "../../../src/ir/kernel/kernel.js";
import { binary, builtin, constant } from "../../../src/ir/kernel/make-expression.js";

const options = { doc: "A trial.", dispatch: "one workgroup", workgroupSize: 8 };
const build = (body: (k: KernelBuilder) => void) => buildKernel("trial", options, body);

function run(kernel: Kernel, length = 8, params: Record<string, number> = {}, subgroupSize = 4): Float32Array {
  const y = new Float32Array(length);
  runKernel(kernel, { buffers: { y }, params, workgroups: [1, 1, 1], subgroupSize, detectRaces: true });
  return y;
}

describe("the interpreter reports", () => {
  it("a store outside a buffer, with the buffer, the index and the invocation", () => {
    const kernel = build((k) => k.readWrite("y", "f32").set(k.localId.add(1), 1));
    expect(() => run(kernel)).toThrow("trial: y[8] is outside its 8 elements (workgroup 0, 0, 0, invocation 7)");
  });

  it("a load at a negative index", () => {
    const kernel = build((k) => {
      const y = k.readWrite("y", "f32");
      y.set(0, y.at(k.localId.toI32().sub(1)), { when: k.localId.eq(0) });
    });
    expect(() => run(kernel)).toThrow("y[-1] is outside");
  });

  it("nothing for a load that the left side of `and` guards", () => {
    const kernel = build((k) => {
      const y = k.readWrite("y", "f32");
      const last = k.let("last", k.localId.ge(7));
      y.set(k.localId, 1, { when: last.not().and(y.at(k.localId.add(1)).eq(0)) });
    });
    // Without races: each invocation reads its neighbour's element.
    const y = new Float32Array(8);
    runKernel(kernel, { buffers: { y }, params: {}, workgroups: [1, 1, 1] });
    expect([...y]).toEqual([1, 1, 1, 1, 1, 1, 1, 0]);
  });

  it("a store that races with another invocation's load, and none after a barrier", () => {
    const kernel = (synchronised: boolean) =>
      build((k) => {
        const y = k.readWrite("y", "f32");
        const tile = k.workgroupArray("tile", "f32", 8);
        tile.set(k.localId, k.localId.toF32());
        if (synchronised) k.barrier();
        y.set(k.localId, tile.at(u32(7).sub(k.localId)));
      });
    expect([...run(kernel(true))]).toEqual([7, 6, 5, 4, 3, 2, 1, 0]);
    expect(() => run(kernel(false))).toThrow(/race on tile\[\d\]/);
  });

  it("a race on a buffer, unless a barrier orders the workgroup's stores to buffers, and then only within it", () => {
    const kernel = (buffers: boolean, theirs: boolean) =>
      build((k) => {
        const y = k.readWrite("y", "f32");
        const first = k.let("first", k.workgroupId.x.mul(8));
        y.set(first.add(k.localId), k.localId.toF32());
        k.barrier({ buffers });
        const from = theirs ? u32(8).sub(first) : first;
        const other = k.let("other", y.at(from.add(7).sub(k.localId)));
        k.barrier({ buffers });
        y.set(first.add(k.localId), other);
      });
    const launch = (kernel: Kernel) => {
      const y = new Float32Array(16);
      runKernel(kernel, { buffers: { y }, params: {}, workgroups: [2, 1, 1], detectRaces: true });
      return [...y];
    };
    const reversed = [7, 6, 5, 4, 3, 2, 1, 0];
    expect(launch(kernel(true, false))).toEqual([...reversed, ...reversed]);
    expect(() => launch(kernel(false, false))).toThrow(/race on y\[\d\]/);
    expect(() => launch(kernel(true, true))).toThrow(/race on y\[\d+\]/);
  });

  it("two workgroups that store to one element", () => {
    const kernel = build((k) => k.readWrite("y", "f32").set(k.localId, 1));
    const y = new Float32Array(8);
    expect(() => runKernel(kernel, { buffers: { y }, params: {}, workgroups: [2, 1, 1], detectRaces: true })).toThrow(
      "race on y[0]",
    );
  });

  it("workgroup memory that is read before it is written, as NaN in the result", () => {
    const kernel = build((k) => {
      const y = k.readWrite("y", "f32");
      y.set(k.localId, k.workgroupArray("tile", "f32", 8).at(k.localId));
    });
    expect(run(kernel).every(Number.isNaN)).toBe(true);
  });

  it("a barrier that part of the workgroup does not reach", () => {
    const legal = build((k) => {
      k.readWrite("y", "f32");
      k.if(k.param("flag").eq(1), () => k.barrier());
    });
    // The verifier would refuse this one.
    const [branch] = legal.body;
    if (branch?.kind !== "if") throw new Error("the kernel begins with an if");
    const condition = binary("lt", builtin("local_id"), constant("u32", 3));
    const kernel = { ...legal, body: [{ ...branch, condition }] };
    expect(() => run(kernel, 8, { flag: 1 })).toThrow("barrier: invocation 3 does not reach it");
  });

  it("loop bounds that differ between invocations that meet in the loop", () => {
    const legal = build((k) => {
      k.readWrite("y", "f32");
      k.for("round", { to: k.param("rounds") }, () => k.barrier());
    });
    const [loop] = legal.body;
    if (loop?.kind !== "for") throw new Error("the kernel begins with a loop");
    // The verifier would refuse this one.
    const kernel = { ...legal, body: [{ ...loop, end: builtin("local_id") }] };
    expect(() => run(kernel, 8, { rounds: 1 })).toThrow("the bounds of the loop over round differ between invocations");
  });

  it("an integer divided by zero", () => {
    const kernel = build((k) => k.readWrite("y", "f32").set(k.localId, i32(5).div(k.param("divisor", "i32")).toF32()));
    expect(() => run(kernel, 8, { divisor: 0 })).toThrow("an integer is divided by zero");
    expect(run(kernel, 8, { divisor: -2 })[0]).toBe(-2);
  });

  it("a loop that goes round more often than it says", () => {
    const kernel = build((k) => {
      const y = k.readWrite("y", "f32");
      const value = k.var("value", f32(1));
      k.while(value.gt(0), 10, () => value.set(value.add(1)));
      y.set(k.localId, value);
    });
    expect(() => run(kernel)).toThrow("a loop went round more than 10 times");
  });

  it("a missing buffer, a buffer of another type, and a param that does not fit", () => {
    const kernel = build((k) => {
      k.readWrite("y", "f32");
      k.param("length");
    });
    const workgroups = [1, 1, 1] as const;
    expect(() => runKernel(kernel, { buffers: {}, params: { length: 1 }, workgroups })).toThrow(
      "no buffer is given for y",
    );
    expect(() => runKernel(kernel, { buffers: { y: new Uint16Array(4) }, params: { length: 1 }, workgroups })).toThrow(
      "y holds f32, which is no Uint16Array",
    );
    expect(() => run(kernel, 8, { length: -1 })).toThrow("the param length is u32, and -1 does not fit");
  });
});

describe("invocations that meet", () => {
  it("leave a loop together, also when the loop holds barriers", () => {
    const kernel = build((k) => {
      const y = k.readWrite("y", "f32");
      const rounds = k.param("rounds");
      const tile = k.workgroupArray("tile", "f32", 8);
      tile.set(k.localId, k.localId.toF32());
      k.for("round", { to: 100 }, (round) => {
        k.if(round.eq(rounds), () => k.break());
        k.barrier();
        const next = k.let("next", tile.at(k.localId.add(1).rem(8)));
        k.barrier();
        tile.set(k.localId, next);
      });
      y.set(k.localId, tile.at(k.localId));
    });
    expect([...run(kernel, 8, { rounds: 3 })]).toEqual([3, 4, 5, 6, 7, 0, 1, 2]);
  });

  it("sum over their subgroup, whatever its size", () => {
    const kernel = build((k) => {
      const y = k.readWrite("y", "f32");
      y.set(k.localId, k.subgroupAdd("sum", k.localId.toF32()));
    });
    expect([...run(kernel, 8, {}, 4)]).toEqual([6, 6, 6, 6, 22, 22, 22, 22]);
    expect([...run(kernel, 8, {}, 32)]).toEqual(new Array(8).fill(28));
    expect([...run(kernel, 8, {}, 2)]).toEqual([1, 1, 5, 5, 9, 9, 13, 13]);
  });

  it("swap values with the lane across, and hear one lane", () => {
    const kernel = build((k) => {
      const y = k.readWrite("y", "f32");
      const own = k.let("own", k.localId.toF32());
      y.set(
        k.localId,
        k
          .subgroupShuffleXor("other", own, 3)
          .mul(10)
          .add(k.subgroupBroadcast("second", own, 1)),
      );
    });
    expect([...run(kernel)]).toEqual([31, 21, 11, 1, 75, 65, 55, 45]);
  });
});

describe("f16 in kernels", () => {
  it("rounds every operation to eleven bits", () => {
    const kernel = build((k) => {
      const y = k.readWrite("y", "f32");
      const sum = k.var("sum", f32(0).toF16());
      k.for("i", { to: 100 }, () => sum.set(sum.add(f32(0.1).toF16())));
      y.set(k.localId, sum.toF32());
    });
    let sum = 0;
    for (let i = 0; i < 100; i++) sum = roundToHalf(sum + roundToHalf(0.1));
    expect(run(kernel)[0]).toBe(sum);
    expect(sum).not.toBeCloseTo(10, 3);
  });

  it("lies in buffers as bits", () => {
    const kernel = build((k) => {
      const y = k.readWrite("y", "vec2<f16>");
      y.set(k.localId, y.at(k.localId).mul(2));
    });
    const y = Uint16Array.from([0x3c00, 0xc000, 0x0001, 0x7bff, ...new Array(12).fill(0)]);
    runKernel(kernel, { buffers: { y }, params: {}, workgroups: [1, 1, 1] });
    // 1 and -2 doubled, the smallest subnormal doubled, and the largest f16, which overflows.
    expect([...y.subarray(0, 4)]).toEqual([0x4000, 0xc400, 0x0002, 0x7c00]);
  });
});
