// Writes protocol buffers: as much as an ONNX file needs. A message is a list of fields, each a chunk of bytes.

function varint(value) {
  const bytes = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest > 0n ? low | 0x80 : low);
  } while (rest > 0n);
  return Uint8Array.from(bytes);
}

const tag = (field, wire) => varint(field * 8 + wire);

/** A whole number, also a negative one. */
export const number = (field, value) => [tag(field, 0), varint(value)];

/** Bytes, or a message: whatever `concat` made. */
export const bytes = (field, value) => [tag(field, 2), varint(value.byteLength), value];

export const string = (field, value) => bytes(field, new TextEncoder().encode(value));

export function float(field, value) {
  const four = new Uint8Array(4);
  new DataView(four.buffer).setFloat32(0, value, true);
  return [tag(field, 5), four];
}

/** A message of fields, as bytes. */
export function concat(...fields) {
  const chunks = fields.flat(Number.POSITIVE_INFINITY);
  const whole = new Uint8Array(chunks.reduce((total, { byteLength }) => total + byteLength, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}
