/** From a checkpoint's floats to what a packed weight holds of them. */
import { bytesOf, convertFloats, type FloatDtype, toF32 } from "./dtype.js";
import type { WeightInfo } from "./manifest.js";
import { storedAs } from "./packing.js";
import { type QuantisedRows, quantiseRows } from "./quantise.js";

/** Encodes rows as weights store them, one row after the other; fragments are cut from them afterwards. */
export class RowEncoder {
  /** Values and scales are weights of their own and come from the same floats, one after the other. */
  #last: { readonly source: Uint8Array; readonly how: string; readonly rows: QuantisedRows } | undefined;

  /** `source`: floats of type `dtype`; whole rows where they are quantised. */
  encode({ element, columns, quantised }: WeightInfo, dtype: FloatDtype, source: Uint8Array): Uint8Array {
    if (quantised === undefined) return convertFloats(source, dtype, storedAs(element));
    const { bits, group, part } = quantised;
    const how = `${bits} ${group} ${columns}`;
    if (this.#last?.source !== source || this.#last.how !== how) {
      this.#last = { source, how, rows: quantiseRows(toF32(source, dtype), columns, { bits, group }) };
    }
    return bytesOf(this.#last.rows[part]);
  }
}
