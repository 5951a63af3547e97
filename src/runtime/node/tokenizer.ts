import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { TokenizerError } from "../errors.js";
import type { Tokenizer } from "../tokenizer.js";
import { systemReason } from "./system-reason.js";

/**
 * The tokenizer of a Hugging Face folder: `tokenizer.json`, with `tokenizer_config.json` where there is one. Of a file it is the one
 * that stands beside it.
 *
 * End ids are those of `generation_config.json`, else of `config.json`, else the `eos_token` of `tokenizer_config.json`.
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  const found = await stat(path).catch(() => undefined);
  const folder = found?.isFile() ? dirname(path) : path;
  const file = join(folder, "tokenizer.json");
  const tokenizerJson = await readJson(file);
  if (tokenizerJson === undefined) {
    const message = found === undefined ? `${path} is not there` : `${folder} holds no tokenizer.json`;
    throw new TokenizerError("tokenizer-missing", message, {
      details: { folder },
      hint: "Text becomes ids by the tokenizer.json beside the weights; `phdc logits` takes ids and needs none.",
    });
  }
  const config = (await readJson(join(folder, "tokenizer_config.json"))) ?? {};

  let tokenizer: HuggingFaceTokenizer;
  try {
    tokenizer = new HuggingFaceTokenizer(tokenizerJson, config);
    tokenizer.encode("");
  } catch (cause) {
    throw new TokenizerError("tokenizer-invalid", `${file} is not understood: ${(cause as Error).message}`, {
      details: { file },
      cause,
    });
  }
  const dropsUnknown = passesOverUnknown(tokenizerJson);
  const endIds =
    endIdsOf(await readJson(join(folder, "generation_config.json"))) ??
    endIdsOf(await readJson(join(folder, "config.json"))) ??
    endTokenOf(config, tokenizer);

  return {
    endIds,
    encode: (text, options = {}) => {
      const ids: number[] = tokenizer.encode(text, { add_special_tokens: options.special ?? true }).ids;
      const lost = dropsUnknown ? [...new Set(text)].find((character) => isDropped(tokenizer, character)) : undefined;
      if (lost !== undefined || ids.some((id) => !Number.isInteger(id) || id < 0)) {
        const part = lost === undefined ? JSON.stringify(excerpt(text)) : describeCharacter(lost);
        throw new TokenizerError("text-unencodable", `the tokenizer has no token for ${part}`, {
          details: { text: lost ?? text, file },
        });
      }
      return ids;
    },
    // Clean-up would change text that has been given out already (" ." into ".").
    decode: (ids) =>
      ids.length === 0
        ? ""
        : tokenizer.decode([...ids], { skip_special_tokens: true, clean_up_tokenization_spaces: false }),
  };
}

/**
 * Whether characters without a token vanish silently: there is no token for the unknown. Only where no normalizer may drop or replace
 * characters on purpose, so that nothing meant to vanish is taken for a loss.
 */
function passesOverUnknown(tokenizerJson: Record<string, unknown>): boolean {
  const model = tokenizerJson["model"] as Record<string, unknown>;
  return (model["unk_token"] ?? null) === null && (tokenizerJson["normalizer"] ?? null) === null;
}

function isDropped(tokenizer: HuggingFaceTokenizer, character: string): boolean {
  return tokenizer.encode(character, { add_special_tokens: false }).ids.length === 0;
}

/** A character with its number, for those that do not show by themselves. */
function describeCharacter(character: string): string {
  const number = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
  return /^[\p{L}\p{N}\p{P}\p{S}]$/u.test(character) ? `"${character}" (U+${number})` : `U+${number}`;
}

function excerpt(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** Parsed JSON of a file, an object; undefined where there is no file. */
async function readJson(file: string): Promise<Record<string, unknown> | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new TokenizerError("tokenizer-unreadable", `${file} cannot be read: ${systemReason(cause)}`, {
      details: { file },
      cause,
    });
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (cause) {
    throw new TokenizerError("tokenizer-invalid", `${file} is not JSON`, { details: { file }, cause });
  }
  throw new TokenizerError("tokenizer-invalid", `${file} is not a JSON object`, { details: { file } });
}

/** `eos_token_id`: one id, or several, or none (null). */
function endIdsOf(config: Record<string, unknown> | undefined): readonly number[] | undefined {
  const value = config?.["eos_token_id"];
  const ids = (Array.isArray(value) ? value : [value]).filter((id) => Number.isInteger(id) && id >= 0);
  return ids.length > 0 ? ids : undefined;
}

function endTokenOf(config: Record<string, unknown>, tokenizer: HuggingFaceTokenizer): readonly number[] {
  const token = config["eos_token"];
  const content = typeof token === "object" && token !== null ? (token as Record<string, unknown>)["content"] : token;
  const id = typeof content === "string" ? tokenizer.token_to_id(content) : undefined;
  return id === undefined ? [] : [id];
}
