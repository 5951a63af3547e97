import type { Capability } from "./capabilities.js";
import type { Kernel } from "./kernel.js";
import type { Statement } from "./statements.js";
import { scalarOf, type ValueType } from "./types.js";
import { eachExpressionIn, eachStatement } from "./walk.js";

const order: readonly Capability[] = ["subgroups", "f16", "bf16", "matrix", "async-copy", "dependent-launch"];

const launchKinds: ReadonlySet<Statement["kind"]> = new Set(["await-previous", "release-next", "prefetch"]);

/** The capabilities that the declarations and the body of a kernel use, in a fixed order. */
export function inferRequirements(kernel: Pick<Kernel, "buffers" | "arrays" | "body">): readonly Capability[] {
  const found = new Set<Capability>();
  const types = new Set<ValueType>([...kernel.buffers, ...kernel.arrays].map(({ type }) => type));
  eachExpressionIn(kernel.body, (expression) => {
    types.add(expression.type);
    if (expression.kind === "builtin" && expression.name.startsWith("subgroup")) found.add("subgroups");
  });
  eachStatement(kernel.body, (statement) => {
    if (statement.kind === "subgroup") found.add("subgroups");
    if (statement.kind === "mma" || statement.kind === "matrix-load") found.add("matrix");
    if (statement.kind === "async-copy") found.add("async-copy");
    if (launchKinds.has(statement.kind)) found.add("dependent-launch");
    if (statement.kind === "registers") types.add(statement.type);
  });
  for (const scalar of [...types].map(scalarOf)) {
    if (scalar === "f16" || scalar === "bf16") found.add(scalar);
  }
  return order.filter((capability) => found.has(capability));
}
