import type { Capabilities } from "./capabilities.js";
import type { Kernel } from "./kernel.js";
import { inferRequirements } from "./requirements.js";
import type { Statement } from "./statements.js";
import { eachStatement } from "./walk.js";

/**
 * Lets a kernel begin before the one before it has ended, where the device can.
 *
 * Before: a kernel that says nothing of its neighbours, or one that waits for the one before it where it wants to.
 * After:  every kernel waits, first thing unless it says where itself, and then releases the next.
 *
 * The next kernel is released behind the wait, so that of all kernels of a program at most one is ahead of its turn.
 */
export function withDependentLaunch(kernel: Kernel, { dependentLaunch }: Capabilities): Kernel {
  if (!dependentLaunch || waits(kernel)) return kernel;
  const first: readonly Statement[] = [{ kind: "await-previous" }, { kind: "release-next" }];
  const body = [...first, ...kernel.body];
  return { ...kernel, body, requires: inferRequirements({ ...kernel, body }) };
}

function waits({ body }: Kernel): boolean {
  let found = false;
  eachStatement(body, ({ kind }) => {
    found ||= kind === "await-previous";
  });
  return found;
}
