import { type KernelBuilder, min, u32, type Value } from "../../ir/kernel/builder.js";

/** The decode table, as the sampling kernels read and advance it. */
export interface DecodeTable {
  /** Tokens that the sequence has sampled so far. To be read by one invocation only. */
  steps(): Value;
  /**
   * Appends a token to the sequence: all its rows move on to the next position. A sequence that fills its context stays at the last one,
   * as one does that has ended while others go on: nothing may be read or kept beyond. Reached by the whole workgroup.
   */
  advance(token: Value): void;
}

const rowWords = 4;

/** Binds `control`; workgroup x works on sequence x. */
export function bindDecodeTable(k: KernelBuilder, copies: number): DecodeTable {
  const control = k.readWrite("control", "i32", "state");
  const sequencesAt = k.param("sequences_at");
  const sequenceStride = k.param("sequence_stride");
  const rowsAt = k.param("rows_at");
  const batch = k.param("batch");
  const context = k.param("context").toI32();
  const sequence = k.workgroupId.x;
  const record = k.let("sequence_record", sequencesAt.add(sequence.mul(sequenceStride)));
  return {
    steps: () => control.at(record.add(3)).toU32(),
    advance(token) {
      k.if(k.localId.eq(0), () => {
        const length = k.let("length", min(control.at(record).add(1), context));
        control.set(record, length);
        control.set(record.add(1), length.sub(1));
        control.set(record.add(2), token.toI32());
        control.set(record.add(3), control.at(record.add(3)).add(1));
      });
      // Copy-major: row c · batch + s is copy c of sequence s.
      k.for("copy", { from: k.localId, to: u32(copies), step: k.workgroupSize }, (copy) => {
        const row = k.let("row", rowsAt.add(copy.mul(batch).add(sequence).mul(rowWords)));
        control.set(row.add(1), min(control.at(row.add(1)).add(1), context.sub(1)));
        control.set(row.add(3), token.toI32());
      });
    },
  };
}
