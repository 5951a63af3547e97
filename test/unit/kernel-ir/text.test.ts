import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InternalError } from "../../../src/diagnostics/diagnostic.js";
import * as values from "../../../src/ir/kernel/builder.js";
import { buildKernel, type Value } from "../../../src/ir/kernel/builder.js";
import type { Kernel } from "../../../src/ir/kernel/kernel.js";
import { parseKernel } from "../../../src/ir/kernel/parse.js";
import { printKernel } from "../../../src/ir/kernel/print.js";
import {
  controlConstructs,
  floatConstructs,
  integerConstructs,
  subgroupConstructs,
  vectorConstructs,
} from "../wgsl/construct-kernels.js";
import { buildPlan, kernelPlan, type Plan } from "../wgsl/random-kernels.js";
import { addBias, rmsNorm } from "./example-kernels.js";

describe("the text of a kernel", () => {
  it("names what the author named", () => {
    expect(printKernel(addBias())).toMatchInlineSnapshot(`
      "kernel add_bias workgroup 64 {
        doc "Adds bias to every row of x. One invocation per element."
        origin "examples/phd-2.phd:12"
        dispatch "ceil(rows * width / 64) workgroups"
        buffer x: f32 read_write activation
        buffer bias: f32 read weight
        param rows: u32
        param width: u32

        let %index: u32 = @global_id
        if lt(%index, mul($rows, $width)) {
          x[%index] = add(x[%index], bias[rem(%index, $width)])
        }
      }
      "
    `);
  });

  it.each([
    addBias(),
    rmsNorm({}),
    rmsNorm({ subgroups: { minSize: 4, maxSize: 128 } }),
    floatConstructs(),
    integerConstructs(),
    vectorConstructs(),
    controlConstructs(),
    subgroupConstructs(),
  ])("reads back as the same kernel: $name", (kernel) => {
    expect(parseKernel(printKernel(kernel))).toEqual(kernel);
  });

  it("reads back as the same kernel for any expression", () => {
    fc.assert(
      fc.property(fc.array(floatTree, { minLength: 1, maxLength: 4 }), (trees) => {
        const kernel = buildKernel("any", { doc: 'A "trial".\n', dispatch: "one", workgroupSize: 8 }, (k) => {
          const x = k.read("x", "f32");
          const y = k.readWrite("y", "f32");
          const sum = k.var("sum", x.at(k.localId));
          for (const tree of trees) sum.set(tree(sum, k.let("value", x.at(0))));
          y.set(k.globalId, sum, { when: k.localId.lt(k.param("length")) });
        });
        expect(parseKernel(printKernel(kernel))).toEqual(kernel);
      }),
    );
  });

  it("reads back as the same kernel for any control flow", () => {
    let legal = 0;
    for (const plan of fc.sample(kernelPlan, { seed: 3, numRuns: 500 })) {
      const kernel = buildIfLegal(plan);
      if (kernel === undefined) continue;
      expect(parseKernel(printKernel(kernel))).toEqual(kernel);
      legal++;
    }
    expect(legal).toBeGreaterThan(50);
  });

  it.each([
    ["kernel a workgroup 8 { doc", "line 1: expected a string, found the end"],
    ['kernel a workgroup 8 {\n  doc ""\n  dispatch ""\n  x[0u] = 1f\n}', "line 4: x begins no statement"],
    ['kernel a workgroup 8 {\n  doc ""\n  dispatch ""\n  let %a: f32 = 1u\n}', "a is f32, but its value is u32"],
    ['kernel a workgroup 8 {\n  doc ""\n  dispatch ""\n  let %a: u32 = twice(1u)\n}', "there is no operator twice"],
    [
      'kernel a workgroup 8 {\n  doc ""\n  dispatch ""\n  if lt(@local_id, 3u) {\n    barrier\n  }\n}',
      "a barrier is in control",
    ],
    ["kernel a ?", 'line 1: unexpected "?"'],
  ])("is refused with its line when it is wrong: %j", (text, problem) => {
    expect(() => parseKernel(text)).toThrow(problem);
  });
});

/** Nothing where the verifier refuses the kernel. */
function buildIfLegal(plan: readonly Plan[]): Kernel | undefined {
  try {
    return buildPlan(plan);
  } catch (error) {
    if (error instanceof InternalError) return undefined;
    throw error;
  }
}

type Tree = (a: Value, b: Value) => Value;

/** Float expressions over two values, in all operators that keep them scalar floats. */
const { floatTree } = fc.letrec<{ floatTree: Tree }>((tie) => {
  const tree = tie("floatTree");
  const two = (combine: (a: Value, b: Value) => Value) =>
    fc.tuple(tree, tree).map(
      ([left, right]): Tree =>
        (a, b) =>
          combine(left(a, b), right(a, b)),
    );
  const one = (apply: (a: Value) => Value) =>
    tree.map(
      (inner): Tree =>
        (a, b) =>
          apply(inner(a, b)),
    );
  return {
    floatTree: fc.oneof(
      { depthSize: "small" },
      fc.constant<Tree>((a) => a),
      fc.constant<Tree>((_, b) => b),
      fc.float({ noNaN: true, noDefaultInfinity: true }).map(
        (value): Tree =>
          () =>
            values.f32(value),
      ),
      two((a, b) => a.add(b)),
      two((a, b) => a.sub(b)),
      two((a, b) => a.mul(b)),
      two((a, b) => a.rem(b)),
      two((a, b) => values.max(a, b)),
      two((a, b) => values.select(a.lt(b).or(a.eq(b).not()), a, b)),
      two((a, b) => values.dot(values.vector("f32", [a, b]), values.vector("f32", [b, a]))),
      two((a, b) => values.unpackHalves("bf16", values.packHalves("f16", values.vector("f32", [a, b]))).y),
      two((a, b) => values.addHalves("bf16", a.bitcast("u32"), b.bitcast("u32")).bitcast("f32")),
      two((a, b) => values.fma(a, b, a.toF16().mul(0.5).toF32())),
      one((a) => a.neg()),
      one((a) => values.exp(values.clamp(a, -1, 1))),
      one((a) => values.inverseSqrt(a)),
      one((a) => a.bitcast("u32").shr(3).bitXor(5).toF32()),
      one((a) => values.fill(a, "vec4<f32>").mul(2).w),
    ),
  };
});
