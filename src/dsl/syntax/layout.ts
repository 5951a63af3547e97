/** What the formatter needs to know about a text's structure, read off the concrete tree: offsets, by what stands there. */
import type { CstElement, CstNode, IToken } from "chevrotain";

export interface Layout {
  /** Where statements, items of a model, definitions and `use`s start: each begins a line. */
  readonly starts: ReadonlySet<number>;
  /** Names directly followed by their `(`. */
  readonly callees: ReadonlySet<number>;
  /** `{` of a block of several statements: its content stands on lines of its own. */
  readonly openBlocks: ReadonlySet<number>;
  /** The `}` of those blocks. */
  readonly closeBlocks: ReadonlySet<number>;
  /** `else` of an `if` statement: it stands on the line of the `}` before it. */
  readonly elses: ReadonlySet<number>;
  /** The `=` of `index` and `rule` definitions; on neighbouring lines they align. */
  readonly aligned: ReadonlySet<number>;
}

const startingRules: ReadonlySet<string> = new Set([
  "use",
  "relationDefinition",
  "functionDefinition",
  "model",
  "modelItem",
  "statement",
]);

export function readLayout(tree: CstNode): Layout {
  const layout = {
    starts: new Set<number>(),
    callees: new Set<number>(),
    openBlocks: new Set<number>(),
    closeBlocks: new Set<number>(),
    elses: new Set<number>(),
    aligned: new Set<number>(),
  };
  const visit = (node: CstNode): void => {
    if (startingRules.has(node.name) && node.location !== undefined) layout.starts.add(node.location.startOffset);
    readNode(node, layout);
    for (const child of Object.values(node.children).flat()) if (isNode(child)) visit(child);
  };
  visit(tree);
  return layout;
}

type MutableLayout = { [Key in keyof Layout]: Set<number> };

function readNode(node: CstNode, layout: MutableLayout): void {
  switch (node.name) {
    case "nameOrCall":
      if (node.children["LeftParen"] !== undefined) addFirst(node, "Name", layout.callees);
      break;
    case "relationDefinition":
      addFirst(node, "Name", layout.callees);
      addFirst(node, "Assign", layout.aligned);
      break;
    case "functionDefinition":
      addFirst(node, "Name", layout.callees);
      break;
    case "forward":
      addFirst(node, "Forward", layout.callees);
      break;
    case "ifStatement":
      for (const word of (node.children["Else"] ?? []) as IToken[]) layout.elses.add(word.startOffset);
      break;
    case "block":
    case "model": {
      const parts = node.children[node.name === "block" ? "statement" : "modelItem"] ?? [];
      if (parts.length > (node.name === "block" ? 1 : 0)) {
        addFirst(node, "LeftBrace", layout.openBlocks);
        addFirst(node, "RightBrace", layout.closeBlocks);
      }
    }
  }
}

function addFirst(node: CstNode, key: string, into: Set<number>): void {
  const [first] = (node.children[key] ?? []) as IToken[];
  if (first !== undefined) into.add(first.startOffset);
}

function isNode(element: CstElement): element is CstNode {
  return "children" in element;
}
