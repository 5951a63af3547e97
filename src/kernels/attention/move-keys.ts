import { buildKernel, type KernelBuilder, max, vectorOf } from "../../ir/kernel/builder.js";
import { floorMod } from "../../ir/kernel/from-integer.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { headVector, type MoveKeysOptions, moveWorkgroupSize } from "./options.js";

/**
 * Carries the live keys and values of a ring over a prefill slice.
 *
 * Prefill works on a scratch that holds the whole slice, because a ring would be overwritten while earlier rows of the slice still read
 * it. Before a slice that continues a sequence, the last `keep` keys before it go from the ring into the scratch; after attention, the
 * last `keep` keys go back. One invocation moves one vector.
 */
export function moveKeys(options: MoveKeysOptions): Kernel {
  const { direction, group, kvWidth, cache } = options;
  return buildKernel(
    ["move_keys", direction, `group_${group}`, `w${kvWidth}`, cache !== "f32" && cache].filter(Boolean).join("_"),
    {
      doc:
        direction === "in"
          ? "Copies the keys that outlive earlier slices from the ring to the scratch of this slice."
          : "Copies the keys that outlive this slice from its scratch to the ring.",
      dispatch: "x: the kept keys of a sequence, one invocation per vector; y: sequences; z: keys, values",
      workgroupSize: moveWorkgroupSize,
    },
    (k) => body(k, options),
  );
}

function body(k: KernelBuilder, { direction, group, copies, kvWidth, cache }: MoveKeysOptions): void {
  const lanes = headVector(kvWidth);
  const vectors = kvWidth / lanes;
  const from = k.read("from", vectorOf(cache, lanes), "cache");
  const to = k.readWrite("to", vectorOf(cache, lanes), "cache");
  const control = k.read("control", "i32", "state");
  const sequencesAt = k.param("sequences_at");
  const sequenceStride = k.param("sequence_stride");
  const batch = k.param("batch");
  const keep = k.param("keep");
  const ringSlots = k.param("ring_slots");
  const scratchSlots = k.param("scratch_slots");

  const sequence = k.workgroupId.y;
  const half = k.workgroupId.z;
  const record = k.let("sequence_record", sequencesAt.add(sequence.mul(sequenceStride)));
  // Word 0 is the length after the slice, word 1 the length before it.
  const positions = control.at(record.add(direction === "in" ? 1 : 0));
  const end = k.let("end", positions.mul(copies));
  const base = k.let("base", control.at(record.add(4 + group)));
  const offset = k.let("offset", k.globalId.div(vectors));
  const index = k.let("index", max(end.sub(keep.toI32()), 0).add(offset.toI32()));
  k.if(offset.lt(keep).and(index.lt(end)).and(index.ge(base)), () => {
    const row = k.let("row", half.mul(batch).add(sequence));
    const component = k.globalId.rem(vectors);
    const ring = row.mul(ringSlots).add(index.toU32().rem(ringSlots)).mul(vectors).add(component);
    const slot = floorMod(k, index.sub(base), scratchSlots.toI32()).toU32();
    const scratch = row.mul(scratchSlots).add(slot).mul(vectors).add(component);
    if (direction === "in") to.set(scratch, from.at(ring));
    else to.set(ring, from.at(scratch));
  });
}
