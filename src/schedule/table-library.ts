/** The rotation tables of a package: angles over positions and, where the rotation depends on the copy, over copies. */
import { add, type Expr, substitute, symbolsOf } from "../ir/expr.js";
import type { Rotation } from "../ir/graph/ops.js";
import type { TableInfo } from "../runtime/manifest.js";

export interface RotationTables {
  readonly pos: string;
  /** Absent where copies of one position have the same angles. */
  readonly copy?: string;
}

export class TableLibrary {
  private readonly infos = new Map<string, TableInfo>();

  constructor(private readonly copies: number) {}

  get tables(): readonly TableInfo[] {
    return [...this.infos.values()];
  }

  /** Whether two rotations can use the same tables. */
  same(left: Rotation | undefined, right: Rotation | undefined): boolean {
    return JSON.stringify(left) === JSON.stringify(right);
  }

  rotation({ frequencies, index, amplitude }: Rotation): RotationTables {
    const onlyCopy = substitute(index.byCopy, this.copies === 1 ? { copy: 1 } : {});
    const dependsOnCopy = symbolsOf(onlyCopy).size > 0;
    const pos: Expr = dependsOnCopy ? index.byPos : add(index.byPos, onlyCopy);
    const shared = { kind: "rope", frequencies, amplitude } as const;
    const byPos = this.add("angles", {
      ...shared,
      doc: "cos and sin of the rotation of every pair, by position",
      ...{ over: "pos", index: pos, rows: "context" },
    });
    if (!dependsOnCopy) return { pos: byPos };
    const byCopy = this.add("copy_angles", {
      ...shared,
      doc: "cos and sin of what the copy adds to the rotation of every pair",
      ...{ over: "copy", index: index.byCopy, rows: this.copies },
    });
    return { pos: byPos, copy: byCopy };
  }

  private add(name: string, table: Omit<TableInfo, "name">): string {
    const key = JSON.stringify(table);
    const known = this.infos.get(key);
    if (known !== undefined) return known.name;
    const taken = [...this.infos.values()].filter((info) => info.name.startsWith(name)).length;
    const own = taken === 0 ? name : `${name}_${taken + 1}`;
    this.infos.set(key, { name: own, ...table });
    return own;
  }
}
