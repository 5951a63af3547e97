// The machine code in a cubin, as far as counting needs it. A disassembler says more but is not everywhere where nvcc is. What bits mean
// is not documented; it was read off what nvdisasm prints for the kernels of the examples, for sm_90a. Branches of sm_80 differ.

/** Kinds by the lower twelve bits of an instruction; all others only count. */
const kinds = new Map([
  [0x981, "load"],
  [0x984, "shared-load"],
  [0x83b, "matrix-load"],
  [0x988, "shared-store"],
  [0x388, "shared-store"],
  [0x23c, "product"],
  [0xb1d, "barrier"],
  [0x82e, "wait"],
  [0x82d, "release"],
  [0x947, "branch"],
  [0x918, "nothing"],
]);
const instructionBytes = 16;
/** Bytes of a lane, by the field that says how wide a load is. */
const widths = [1, 1, 2, 2, 4, 8, 16, 16];

/** The instructions of every kernel of a cubin: name → `{ kind, bytes, once, target }[]`. */
export function readCubin(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const sections = Number(view.getBigUint64(0x28, true));
  const [size, count, namesIndex] = [0x3a, 0x3c, 0x3e].map((at) => view.getUint16(at, true));
  const section = (index) => {
    const at = sections + index * size;
    const [offset, length] = [0x18, 0x20].map((field) => Number(view.getBigUint64(at + field, true)));
    return { name: view.getUint32(at, true), offset, length };
  };
  const names = section(namesIndex);
  const nameAt = (place) => {
    const start = names.offset + place;
    return file.subarray(start, file.indexOf(0, start)).toString("latin1");
  };
  const found = Array.from({ length: count }, (_, index) => section(index));
  const texts = found.map(({ name, ...place }) => ({ name: nameAt(name), ...place }));
  return new Map(
    texts
      .filter(({ name }) => name.startsWith(".text."))
      .map(({ name, offset, length }) => [name.slice(".text.".length), decode(view, offset, length)]),
  );
}

function decode(view, offset, length) {
  const instructions = [];
  for (let at = 0; at < length; at += instructionBytes) {
    const low = view.getBigUint64(offset + at, true);
    const high = view.getBigUint64(offset + at + 8, true);
    const kind = kinds.get(Number(low & 0xfffn)) ?? "other";
    const instruction = { kind };
    if (kind.endsWith("load") && kind !== "matrix-load") instruction.bytes = widths[Number((high >> 9n) & 7n)];
    // Loads that leave no copy in the first-level cache.
    if (kind === "load") instruction.once = ((high >> 22n) & 1n) === 1n;
    if (kind === "branch") instruction.target = branchTarget(low, high, at);
    instructions.push(instruction);
  }
  return instructions;
}

/** The index of the instruction that a branch goes to. Its distance counts words of four bytes from the next instruction. */
function branchTarget(low, high, at) {
  const upper = BigInt.asIntN(48, ((high << 64n) | low) >> 34n);
  const words = Number(upper) * 256 + Number((low >> 16n) & 0xffn);
  return (at + instructionBytes + 4 * words) / instructionBytes;
}
