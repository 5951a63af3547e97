/** The package's own files, read from beside its modules: over the web, or from disk in Node and Deno. */

/** The functions of `node:fs/promises` that are needed; the module is not there in a page, so its types may not be either. */
interface FileSystem {
  readFile(path: URL): Promise<Uint8Array<ArrayBuffer>>;
}

/** The bytes of a file of the package, by its path from the package's root. */
export async function readPackageFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const url = new URL(`../${path}`, import.meta.url);
  if (url.protocol === "file:") {
    const specifier = "node:fs/promises";
    const { readFile } = (await import(specifier)) as FileSystem;
    return readFile(url);
  }
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: the server answered ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

export async function readPackageText(path: string): Promise<string> {
  return new TextDecoder().decode(await readPackageFile(path));
}
