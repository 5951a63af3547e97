import type { Kernel } from "../../ir/kernel/kernel.js";
import { declaredName, eachStatement } from "../../ir/kernel/walk.js";

/**
 * The names a kernel's declarations get in a target's text: the author's, or that with a number where the target has another
 * use for the word.
 */
export function nameDeclarations(kernel: Kernel, reserved: ReadonlySet<string>): ReadonlyMap<string, string> {
  const declared = [...kernel.buffers, ...kernel.params, ...kernel.arrays].map(({ name }) => name);
  eachStatement(kernel.body, (statement) => {
    const name = declaredName(statement);
    if (name !== undefined) declared.push(name);
  });
  const taken = new Set([...declared, ...reserved, kernel.name]);
  const names = new Map<string, string>();
  for (const name of declared) {
    if (!reserved.has(name) && name !== kernel.name) {
      names.set(name, name);
      continue;
    }
    let other = name;
    for (let count = 1; taken.has(other); count++) other = `${name}_${count}`;
    taken.add(other);
    names.set(name, other);
  }
  return names;
}
