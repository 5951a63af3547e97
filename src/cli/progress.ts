/** Progress of loading, on stderr, and only when a person watches. */
import type { LoadProgress } from "../runtime/checkpoint.js";
import { formatBytes } from "./format.js";
import type { Terminal } from "./terminal.js";

export interface ProgressLine {
  readonly update: (progress: LoadProgress) => void;
  /** Removes the line. */
  readonly end: () => void;
}

/** Loads shorter than this show nothing. */
const patience = 500;
const interval = 100;

export function progressLine(terminal: Terminal, what: string): ProgressLine {
  if (!terminal.interactive) return { update: () => {}, end: () => {} };
  const start = performance.now();
  let shown = 0;
  return {
    update: ({ bytes, totalBytes }) => {
      const now = performance.now();
      if (now - start < patience || now - shown < interval) return;
      shown = now;
      terminal.err(`\r\u001b[K${what}: ${formatBytes(bytes)} of ${formatBytes(totalBytes)}`);
    },
    end: () => {
      if (shown > 0) terminal.err("\r\u001b[K");
    },
  };
}
