import { describe, expect, it } from "vitest";
import { buildKernel, f32, type KernelBuilder, u32 } from "../../../src/ir/kernel/builder.js";
import { portableCapabilities } from "../../../src/ir/kernel/capabilities.js";
import type { Expression } from "../../../src/ir/kernel/expressions.js";
import type { Kernel } from "../../../src/ir/kernel/kernel.js";
import { constant, local } from "../../../src/ir/kernel/make-expression.js";
import type { Statement } from "../../../src/ir/kernel/statements.js";
import { findMisfits, findProblems } from "../../../src/ir/kernel/verify.js";
import { rmsNorm } from "./example-kernels.js";

const options = { doc: "A trial.", dispatch: "one workgroup", workgroupSize: 64 };
const build = (body: (k: KernelBuilder) => void) => buildKernel("trial", options, body);

/** A kernel with one read-only and one writable buffer, and statements that no builder would make. */
function kernelWith(...body: Statement[]): Kernel {
  const frame = build((k) => {
    k.read("x", "f32");
    k.readWrite("y", "f32");
    k.param("length");
  });
  return { ...frame, body };
}

const zero: Expression = constant("u32", 0);
const one: Expression = constant("f32", 1);

describe("barriers", () => {
  const problem = /barrier is in control flow that differs/;

  it("may stand in loops whose bounds come from params, workgroup ids and read-only buffers", () => {
    expect(() =>
      build((k) => {
        const starts = k.read("starts", "u32");
        const length = k.param("length");
        k.for("tile", { from: starts.at(k.workgroupId.x), to: length }, (tile) => {
          k.if(tile.lt(length.sub(1)), () => k.barrier());
        });
      }),
    ).not.toThrow();
  });

  it("may not stand under a condition on the invocation", () => {
    expect(() => build((k) => k.if(k.localId.lt(3), () => k.barrier()))).toThrow(problem);
  });

  it("may not stand under a condition on a buffer that the kernel writes", () => {
    expect(() =>
      build((k) => {
        const counts = k.readWrite("counts", "u32");
        k.if(counts.at(0).gt(3), () => k.barrier());
      }),
    ).toThrow(problem);
  });

  it("may not stand in a loop that some invocations leave early", () => {
    expect(() =>
      build((k) => {
        k.for("round", { to: 4 }, (round) => {
          k.barrier();
          k.if(round.eq(k.localId), () => k.break());
        });
      }),
    ).toThrow(problem);
  });

  it("may not follow from a variable that a later round makes differ", () => {
    expect(() =>
      build((k) => {
        const limit = k.var("limit", u32(4));
        k.for("round", { to: 4 }, (round) => {
          k.if(limit.gt(round), () => k.barrier());
          limit.set(k.localId);
        });
      }),
    ).toThrow(problem);
  });

  it("may follow from a value that one invocation computed, through a uniform load", () => {
    expect(() =>
      build((k) => {
        const found = k.workgroupArray("found", "u32", 1);
        k.if(k.localId.eq(0), () => found.set(0, 7));
        const count = k.uniformLoad("count", found, 0);
        k.for("round", { to: count }, () => k.barrier());
      }),
    ).not.toThrow();
  });

  it("bind subgroup operations as well", () => {
    expect(() => build((k) => k.if(k.localId.lt(3), () => void k.subgroupAdd("sum", f32(1))))).toThrow(
      "the subgroup of sum is in control flow that differs between invocations",
    );
  });
});

describe("a kernel is refused when it", () => {
  it.each<[string, Statement[], string]>([
    [
      "stores to a buffer it only reads",
      [{ kind: "store", space: "buffer", name: "x", index: zero, value: one }],
      "x is stored to, but is read only",
    ],
    [
      "stores a value of another type",
      [{ kind: "store", space: "buffer", name: "y", index: zero, value: zero }],
      "a store to y takes f32, not u32",
    ],
    [
      "uses a name outside its block",
      [
        { kind: "if", condition: constant("bool", 1), body: [{ kind: "let", name: "sum", value: one }], otherwise: [] },
        { kind: "store", space: "buffer", name: "y", index: zero, value: local("sum", "f32") },
      ],
      "sum is not declared here",
    ],
    ["declares a name twice", [{ kind: "let", name: "x", value: one }, { kind: "barrier" }], "x is declared twice"],
    [
      "assigns to what is no variable",
      [
        { kind: "let", name: "sum", value: one },
        { kind: "assign", name: "sum", value: one },
      ],
      "sum is assigned, but is no variable here",
    ],
    [
      "misstates the type of an expression",
      [{ kind: "let", name: "sum", value: { kind: "unary", type: "u32", op: "exp", operand: one } }],
      "unary is typed u32, not f32",
    ],
    [
      "adds numbers of different types",
      [{ kind: "let", name: "sum", value: { kind: "binary", type: "f32", op: "add", left: one, right: zero } }],
      "kernel expression: add of f32 and u32",
    ],
    ["breaks outside of loops", [{ kind: "break" }], "a break outside of loops"],
    [
      "breaks out of an unrolled loop",
      [
        {
          kind: "for",
          variable: "i",
          type: "u32",
          start: zero,
          end: constant("u32", 2),
          step: constant("u32", 1),
          unroll: true,
          body: [{ kind: "break" }],
        },
      ],
      "a break in an unrolled loop",
    ],
    [
      "changes the bound of a loop inside it",
      [
        { kind: "var", name: "end", value: zero },
        {
          kind: "for",
          variable: "i",
          type: "u32",
          start: zero,
          end: local("end", "u32"),
          step: constant("u32", 1),
          unroll: false,
          body: [{ kind: "assign", name: "end", value: zero }],
        },
      ],
      "the loop over i changes its own bounds",
    ],
    [
      "uses what it does not require",
      [{ kind: "subgroup", name: "sum", op: "add", value: one }],
      "requires [], but uses [subgroups]",
    ],
  ])("%s", (_, body, problem) => {
    expect(findProblems(kernelWith(...body))).toEqual([problem]);
  });

  it("asks for more than a device has", () => {
    const kernel = rmsNorm({ subgroups: { minSize: 32, maxSize: 32 } }, 512);
    expect(findMisfits(kernel, portableCapabilities)).toEqual([
      "needs subgroups",
      "has 512 invocations in a workgroup, where 256 are allowed",
    ]);
  });
});
