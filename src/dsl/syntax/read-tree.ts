/** Reading chevrotain's tree: the parts of a rule by their names. */
import type { CstNode, IToken } from "chevrotain";
import { InternalError } from "../../diagnostics/diagnostic.js";

export function has(tree: CstNode, key: string): boolean {
  return tree.children[key] !== undefined;
}

export function nodes(tree: CstNode, key: string): CstNode[] {
  return (tree.children[key] ?? []) as CstNode[];
}

export function node(tree: CstNode, key: string): CstNode {
  const found = nodes(tree, key)[0];
  if (found === undefined) throw new InternalError(`the rule ${tree.name} has no ${key}`);
  return found;
}

export function tokens(tree: CstNode, key: string): IToken[] {
  return (tree.children[key] ?? []) as IToken[];
}

export function token(tree: CstNode, key: string): IToken {
  const found = tokens(tree, key)[0];
  if (found === undefined) throw new InternalError(`the rule ${tree.name} has no ${key}`);
  return found;
}

/** The one child of a rule that only chooses, with the rule it chose. */
export function only(tree: CstNode): [string, CstNode] {
  const [entry] = Object.entries(tree.children);
  return [entry![0], entry![1][0] as CstNode];
}

/** Operators of several kinds, in the order of the text. */
export function operatorsOf(tree: CstNode, keys: readonly string[]): IToken[] {
  return keys.flatMap((key) => tokens(tree, key)).sort((a, b) => a.startOffset - b.startOffset);
}
