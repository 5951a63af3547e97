/** Token ids that the user gives in a file. */
import { readFile } from "node:fs/promises";
import { usageDiagnostics } from "../diagnostics/catalogue-usage.js";
import { DiagnosticError } from "../diagnostics/diagnostic.js";
import { memorySource } from "../runtime/byte-source.js";
import { openSafetensors } from "../runtime/checkpoint.js";
import { toIntegers } from "../runtime/dtype.js";
import { unreadable } from "./files.js";
import type { Terminal } from "./terminal.js";

/** Reads a JSON array of ids, or the tensor `input_ids` [n] of a safetensors file. Every id must be below `vocab`. */
export async function readIds(terminal: Terminal, path: string, vocab: number): Promise<readonly number[]> {
  const bytes = await readBytes(terminal, path);
  const ids = path.endsWith(".safetensors") ? await fromSafetensors(path, bytes) : fromJson(path, bytes);
  if (ids.length === 0) throw invalid(path, "the list is empty");
  const wrong = ids.findIndex((id) => id < 0 || id >= vocab);
  if (wrong >= 0) throw invalid(path, `id ${ids[wrong]} at index ${wrong} is not in the vocabulary of ${vocab}`);
  return ids;
}

/** `-` is stdin. */
async function readBytes(terminal: Terminal, path: string): Promise<Uint8Array> {
  if (path === "-") return new TextEncoder().encode(await terminal.readStdin());
  try {
    return await readFile(path);
  } catch (error) {
    throw unreadable(path, error);
  }
}

function fromJson(path: string, bytes: Uint8Array): readonly number[] {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw invalid(path, "it is not JSON");
  }
  if (!Array.isArray(value)) throw invalid(path, "it is not a JSON array");
  const wrong = value.findIndex((id) => !Number.isInteger(id));
  if (wrong >= 0) throw invalid(path, `element ${wrong} is no whole number`);
  return value as number[];
}

async function fromSafetensors(path: string, bytes: Uint8Array): Promise<readonly number[]> {
  const checkpoint = await openSafetensors(memorySource(bytes, path));
  const tensor = checkpoint.tensors.get("input_ids");
  if (tensor === undefined) throw invalid(path, "it has no tensor input_ids");
  if (tensor.shape.length !== 1) throw invalid(path, `input_ids has the shape [${tensor.shape.join(", ")}], not [n]`);
  const { dtype } = tensor;
  if (dtype !== "I32" && dtype !== "I64") throw invalid(path, `input_ids is ${dtype}, not I32`);
  return toIntegers(await checkpoint.read(tensor), dtype);
}

function invalid(path: string, reason: string): DiagnosticError {
  return new DiagnosticError([usageDiagnostics.idsInvalid({ path, reason })]);
}
