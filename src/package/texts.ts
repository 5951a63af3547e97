import type { Program } from "../compile.js";

/** The texts of a program's kernels and of what they include, by file name, as packages take them. */
export function textsOf({ kernels, headers }: Program): ReadonlyMap<string, string> {
  return new Map([
    ...kernels.map(({ info, text }) => [info.file, text] as const),
    ...headers.map(({ file, text }) => [file, text] as const),
  ]);
}
