import type { Capabilities } from "./capabilities.js";
import type { Kernel } from "./kernel.js";
import { inferRequirements } from "./requirements.js";
import type { Statement } from "./statements.js";
import { eachStatement } from "./walk.js";

/**
 * Lets a kernel begin before the one before it has ended, where the device can.
 *
 * Before: a kernel that says nothing of its neighbours, or one that waits for the one before it where it wants to.
 * After:  every kernel releases the next and waits, first thing unless it says where itself.
 *
 * The next kernel is released before the wait. It begins once all workgroups of this one have, and waits in turn until this one has
 * ended, so several kernels may stand in line with their first weights loaded. Since each waits, none ends before the one before it,
 * and whoever waits for its neighbour waits for all before that too.
 */
export function withDependentLaunch(kernel: Kernel, { dependentLaunch }: Capabilities): Kernel {
  if (!dependentLaunch || waits(kernel)) return kernel;
  const first: readonly Statement[] = [{ kind: "release-next" }, { kind: "await-previous" }];
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
