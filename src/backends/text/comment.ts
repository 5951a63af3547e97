import { type Writer, wrapWords } from "../../ir/kernel/writer.js";

/** Characters of a line of generated text; expressions may be longer. */
export const longestLine = 110;

/** Writes a remark, in as many lines as it takes. */
export function writeComment(text: string, writer: Writer): void {
  for (const line of wrapWords(text, longestLine)) writer.line(`// ${line}`);
}
