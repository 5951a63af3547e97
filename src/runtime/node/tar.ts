/** Regular files of a tar archive, by name. Enough for archives without long names; anything else in it is passed over. */
export function readTar(archive: Uint8Array): ReadonlyMap<string, Uint8Array> {
  const block = 512;
  const text = (from: number, to: number) => {
    const field = archive.subarray(from, to);
    const end = field.indexOf(0);
    return new TextDecoder("latin1").decode(end < 0 ? field : field.subarray(0, end));
  };
  const files = new Map<string, Uint8Array>();
  for (let at = 0; at + block <= archive.length && archive[at] !== 0; ) {
    const name = text(at, at + 100).replace(/^\.\//, "");
    const size = Number.parseInt(text(at + 124, at + 136), 8);
    const type = text(at + 156, at + 157);
    const start = at + block;
    if (!Number.isSafeInteger(size) || size < 0 || start + size > archive.length) {
      throw new Error(`the archive is damaged at byte ${at}`);
    }
    if (type === "0" || type === "") files.set(name, archive.subarray(start, start + size));
    at = start + Math.ceil(size / block) * block;
  }
  return files;
}
