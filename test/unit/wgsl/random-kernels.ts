import fc from "fast-check";
import { buildKernel, type KernelBuilder, type Memory, u32, type Value } from "../../../src/ir/kernel/builder.js";
import type { Kernel } from "../../../src/ir/kernel/kernel.js";

/** A statement to build; numbers choose among the values that are in scope where it stands. */
export type Plan =
  | { readonly kind: "barrier" | "break" }
  | { readonly kind: "let" | "assign" | "store" | "uniform-load"; readonly pick: number; readonly other: number }
  | {
      readonly kind: "if";
      readonly pick: number;
      readonly other: number;
      readonly body: Plan[];
      readonly otherwise: Plan[];
    }
  | { readonly kind: "for" | "while"; readonly pick: number; readonly other: number; readonly body: Plan[] };

const pick = fc.nat(20);
const { block } = fc.letrec<{ block: Plan[]; plan: Plan }>((tie) => ({
  block: fc.array(tie("plan"), { minLength: 1, maxLength: 4 }),
  plan: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.record({ kind: fc.constantFrom("let", "assign", "store", "uniform-load"), pick, other: pick }),
    { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("barrier") }) },
    fc.record({ kind: fc.constantFrom("break") }),
    fc.record({ kind: fc.constant("if" as const), pick, other: pick, body: tie("block"), otherwise: tie("block") }),
    fc.record({ kind: fc.constantFrom("for" as const, "while" as const), pick, other: pick, body: tie("block") }),
  ) as fc.Arbitrary<Plan>,
}));

/** Plans of kernels with barriers in all kinds of control flow; many are no legal kernels. */
export const kernelPlan: fc.Arbitrary<Plan[]> = block;

/** Builds a kernel; throws where the verifier refuses it. */
export function buildPlan(plan: readonly Plan[]): Kernel {
  const options = { doc: "A random kernel.", dispatch: "one workgroup", workgroupSize: 32 };
  return buildKernel("random", options, (k) => {
    const fixed = k.read("fixed", "u32");
    const changing = k.readWrite("changing", "u32");
    const tile = k.workgroupArray("tile", "u32", 32);
    const variable = k.var("variable", u32(1));
    const atoms = [
      u32(3),
      k.param("bound"),
      k.workgroupId.x,
      k.localId,
      fixed.at(k.workgroupId.x),
      fixed.at(k.localId),
      changing.at(0),
      tile.at(0),
      variable,
    ];
    buildBlock(k, plan, { atoms, tile, changing, variable, loops: 0 });
    changing.set(k.localId, variable.add(tile.at(k.localId)));
  });
}

interface Scope {
  readonly atoms: readonly Value[];
  readonly tile: Memory;
  readonly changing: Memory;
  readonly variable: ReturnType<KernelBuilder["var"]>;
  readonly loops: number;
}

function buildBlock(k: KernelBuilder, plan: readonly Plan[], outer: Scope): void {
  const atoms = [...outer.atoms];
  const value = (index: number) => atoms[index % atoms.length]!;
  const inside = (loops = outer.loops) => ({ ...outer, atoms: [...atoms], loops });
  for (const step of plan) {
    switch (step.kind) {
      case "barrier":
        k.barrier();
        break;
      case "break":
        if (outer.loops > 0) k.if(value(3).eq(value(4)), () => k.break());
        break;
      case "let":
        atoms.push(k.let("value", value(step.pick).add(value(step.other))));
        break;
      case "assign":
        outer.variable.set(value(step.pick).bitXor(value(step.other)));
        break;
      case "store":
        outer.tile.set(value(step.pick).rem(32), value(step.other));
        break;
      case "uniform-load":
        atoms.push(k.uniformLoad("shared_value", outer.tile, value(step.pick).rem(32)));
        break;
      case "if":
        k.if(
          value(step.pick).lt(value(step.other)),
          () => buildBlock(k, step.body, inside()),
          () => buildBlock(k, step.otherwise, inside()),
        );
        break;
      case "for":
        k.for("i", { from: value(step.pick), to: k.let("end", value(step.other)) }, (i) => {
          buildBlock(k, step.body, { ...inside(outer.loops + 1), atoms: [...atoms, i] });
        });
        break;
      case "while":
        k.while(value(step.pick).lt(value(step.other)), 100, () => {
          buildBlock(k, step.body, inside(outer.loops + 1));
          k.break();
        });
        break;
    }
  }
}
