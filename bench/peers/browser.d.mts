import type { Browser } from "playwright-core";
import type { readTar } from "../../src/runtime/node/tar.js";

export interface StaticServer {
  readonly url: string;
  close(): Promise<void>;
}

export function openBrowser(tar: typeof readTar): Promise<Browser>;

export function serve(
  folders: Readonly<Record<string, string>>,
  pages?: Readonly<Record<string, string | Uint8Array>>,
): Promise<StaticServer>;
