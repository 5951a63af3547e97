/** Collects lines of generated text with their indentation. */
export class Writer {
  private readonly lines: string[] = [];
  private depth = 0;

  line(text = ""): void {
    this.lines.push(text === "" ? "" : "  ".repeat(this.depth) + text);
  }

  /** A line that opens a block, its lines one step deeper, and the line that closes it. */
  block(open: string, body: () => void, close = "}"): void {
    this.line(open);
    this.indented(body);
    this.line(close);
  }

  indented(body: () => void): void {
    this.depth++;
    body();
    this.depth--;
  }

  toString(): string {
    return `${this.lines.join("\n")}\n`;
  }
}

/** Breaks prose into lines of at most `width` characters. */
export function wrapWords(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/).filter((part) => part !== "")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return line === "" ? lines : [...lines, line];
}
