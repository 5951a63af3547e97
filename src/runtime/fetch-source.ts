import { type ByteSource, memorySource } from "./byte-source.js";
import { WeightsError } from "./errors.js";

/**
 * A file at a web address, read by ranges.
 *
 * A server that does not answer ranges sends the whole file to the first request; it is then kept in memory and read from there.
 */
export async function fetchSource(url: string | URL, signal?: AbortSignal): Promise<ByteSource> {
  const name = String(url);
  const first = await request(name, "bytes=0-0", signal);
  if (first.status !== 206) return memorySource(new Uint8Array(await first.arrayBuffer()), name);

  await first.arrayBuffer();
  const size = Number(/\/(\d+)$/.exec(first.headers.get("content-range") ?? "")?.[1] ?? Number.NaN);
  if (!Number.isSafeInteger(size)) {
    throw new WeightsError("file-unreadable", `${name}: the server answers ranges but does not tell the size`);
  }
  return {
    name,
    size,
    read: async (offset, length) => {
      if (length === 0) return new Uint8Array(0);
      const response = await request(name, `bytes=${offset}-${offset + length - 1}`, signal);
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (response.status === 206 && bytes.byteLength === length) return bytes;
      if (response.status === 200 && bytes.byteLength === size) return bytes.subarray(offset, offset + length);
      throw new WeightsError("file-unreadable", `${name}: asked for ${length} bytes, got ${bytes.byteLength}`);
    },
    close: async () => {},
  };
}

async function request(name: string, range: string, signal: AbortSignal | undefined): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(name, { headers: { range }, ...(signal === undefined ? {} : { signal }) });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new WeightsError("file-unreadable", `${name}: cannot be fetched`, { cause });
  }
  if (!response.ok) {
    throw new WeightsError("file-unreadable", `${name}: the server answered ${response.status}`, {
      details: { name, status: response.status },
    });
  }
  return response;
}
