/** A file of a compiled package, by its path from the package's root. */
export interface PackageFile {
  readonly path: string;
  readonly content: string | Uint8Array;
}
