/**
 * Queries, keys and values of the step that runs, as the products left them, finished (normed, rotated) wherever they are read.
 */
import { f32, type KernelBuilder, select, type Value } from "../../ir/kernel/builder.js";
import { vectorOf } from "../../ir/kernel/types.js";
import { type HeadColumns, headAngle } from "../elementwise/head-columns.js";
import { times } from "../times.js";
import type { AttentionShape, FreshHeads } from "./options.js";
import { pack } from "./row-vectors.js";

/** A token of the step, u32. */
export interface FreshToken {
  /** Row of the table. */
  readonly row: Value;
  readonly pos: Value;
  readonly copy: Value;
}

export interface HeadReader {
  /** Components of a finished vector. */
  readonly vector: 1 | 2 | 4;
  /** Components of one load. */
  readonly lanes: 1 | 2 | 4;
  /** Load `index` of a head as it came from the product; without `head`, of all heads of the row. */
  raw(columns: Pick<HeadColumns, "source" | "offset">, row: Value, head: Value | undefined, index: Value): Value;
  /** Vector `component` of a finished head; `factor` is that of its norm. */
  finished(columns: HeadColumns, token: FreshToken, head: Value, component: Value, factor?: Value): Value;
}

/**
 * Binds the sources, `norm_weights`, `pos_angles` and `copy_angles`, as far as they are needed.
 *
 * @param vector components that are wanted at once; divides the width
 */
export function bindHeads(
  k: KernelBuilder,
  { width }: AttentionShape,
  fresh: FreshHeads,
  vector: 1 | 2 | 4,
): HeadReader {
  const { query, key, value, sources } = fresh;
  const rotates = query.rotate || key.rotate;
  // A load never straddles the halves of a head, which turn with each other, nor two heads.
  const half = width / 2;
  const starts = [...sources, ...[query, key, value].map(({ offset }) => offset), width, ...(rotates ? [half] : [])];
  const fits = (lanes: number) => lanes <= vector && starts.every((start) => start % lanes === 0);
  const lanes = ([4, 2, 1] as const).find(fits)!;
  const type = vectorOf("f32", lanes);
  const buffers = sources.map((_, index) => k.read(`source_${index}`, type));
  const gains = query.norm || key.norm ? k.read("norm_weights", type, "weight") : undefined;
  const posAngles = rotates ? k.read("pos_angles", "vec2<f32>", "table") : undefined;
  const copyAngles = rotates && fresh.copyAngles ? k.read("copy_angles", "vec2<f32>", "table") : undefined;

  const raw: HeadReader["raw"] = ({ source, offset }, row, head, index) => {
    const start = row.mul(sources[source]! / lanes).add(offset / lanes);
    return buffers[source]!.at((head === undefined ? start : start.add(head.mul(width / lanes))).add(index));
  };
  const normed = (columns: HeadColumns, row: Value, head: Value, index: Value, factor: Value | undefined): Value => {
    const element = raw(columns, row, head, index);
    if (columns.norm === undefined) return element;
    const gain = columns.norm.over === "row" ? head.mul(width / lanes).add(index) : index;
    return element.mul(factor!).mul(gains!.at(gain.add(columns.norm.weightAt / lanes)));
  };
  const load = (columns: HeadColumns, token: FreshToken, head: Value, index: Value, factor?: Value): Value => {
    const element = k.let("element", normed(columns, token.row, head, index, factor));
    if (!columns.rotate) return element;
    const pair = k.let("pair", index.rem(half / lanes).mul(lanes));
    const angles = times(lanes, (lane) => headAngle(k, token, pair.add(lane), half, posAngles!, copyAngles));
    // An element of the first half turns with its partner in the second, which enters with the other sign.
    const sign = k.let("sign", select(index.lt(half / lanes), f32(-1), f32(1)));
    const partnerAt = k.let("partner_at", index.add(half / lanes).rem(width / lanes));
    const partner = k.let("partner", normed(columns, token.row, head, partnerAt, factor));
    const cosines = pack(angles.map(({ cos }) => cos));
    const sines = pack(angles.map(({ sin }) => sin.mul(sign)));
    return k.let("turned", element.mul(cosines).add(partner.mul(sines)));
  };
  return {
    vector,
    lanes,
    raw,
    finished: (columns, token, head, component, factor) => {
      const loads = vector / lanes;
      if (loads === 1) return load(columns, token, head, component, factor);
      const parts = times(loads, (part) => {
        const index = k.let("index", component.mul(loads).add(part));
        const loaded = load(columns, token, head, index, factor);
        return times(lanes, (lane) => loaded.component(lane));
      });
      return pack(parts.flat());
    },
  };
}
