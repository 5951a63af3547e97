import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { toIntegers } from "../../../src/runtime/dtype.js";
import { openCheckpoint } from "../../../src/runtime/node/open-checkpoint.js";
import { loadTokenizer } from "../../../src/runtime/node/tokenizer.js";
import { TextStream, type Tokenizer } from "../../../src/runtime/tokenizer.js";
import { shared, sharedIsAbsent } from "./shared-data.js";

async function goldenIds(model: string, name: string): Promise<number[]> {
  const golden = await openCheckpoint(join(shared, "models", model, "golden.safetensors"));
  const tensor = golden.tensors.get(name)!;
  const ids = toIntegers(await golden.read(tensor), tensor.dtype as "I32");
  await golden.close();
  return ids;
}

/** What a stream gives out for the ids after the first `prompt` ones. */
function streamed(tokenizer: Tokenizer, ids: readonly number[], prompt: number): string[] {
  const stream = new TextStream(tokenizer, ids.slice(0, prompt));
  return [...ids.slice(prompt).map((id) => stream.push(id)), stream.end()];
}

describe.skipIf(sharedIsAbsent)("the tokenizer of stories260k", () => {
  const load = () => loadTokenizer(join(shared, "models/stories260k"));

  it("encodes the golden prompt, with BOS first, to the golden ids", async () => {
    const tokenizer = await load();
    const prompt = tokenizer.encode("Tim and Mia went to the zoo.");
    expect((await goldenIds("stories260k", "zoo.input_ids")).slice(0, prompt.length)).toEqual(prompt);
    expect(prompt[0]).toBe(1);
    expect(tokenizer.encode("Tim and Mia went to the zoo.", { special: false })).toEqual(prompt.slice(1));
  });

  it("decodes the golden runs to stories", async () => {
    const tokenizer = await load();
    expect(tokenizer.decode(await goldenIds("stories260k", "zoo.input_ids"))).toMatch(
      /^Tim and Mia went to the zoo\. They saw/,
    );
    expect(tokenizer.decode(await goldenIds("stories260k", "empty.input_ids"))).toMatch(/^Once upon a time/);
    expect(tokenizer.endIds).toEqual([2]);
  });

  it("streams a continuation that joins its prompt without a seam", async () => {
    const tokenizer = await load();
    const ids = await goldenIds("stories260k", "zoo.input_ids");
    const prompt = tokenizer.encode("Tim and Mia went to the zoo.").length;
    const text = streamed(tokenizer, ids, prompt).join("");
    expect(`Tim and Mia went to the zoo.${text}`).toBe(tokenizer.decode(ids));
    expect(streamed(tokenizer, ids, 0).join("")).toBe(tokenizer.decode(ids));
  });

  it("holds back the bytes of a character until the last one is there", async () => {
    const tokenizer = await load();
    const ids = tokenizer.encode("a 日 b");
    const pieces = streamed(tokenizer, ids, 2);
    expect(pieces.join("")).toBe(" 日 b");
    expect(pieces.filter((piece) => piece.includes("\uFFFD"))).toEqual([]);
    expect(ids.length).toBeGreaterThan(5);
  });

  it("gives out what is left of a broken character at the end", async () => {
    const tokenizer = await load();
    const ids = tokenizer.encode("a日").slice(0, -1);
    expect(streamed(tokenizer, ids, 1).join("")).toBe(tokenizer.decode(ids));
    expect(tokenizer.decode(ids)).toMatch(/^a\uFFFD+$/);
  });
});

describe.skipIf(sharedIsAbsent)("the tokenizer of the Shakespeare models", () => {
  const model = "shakespeare-phd-cswa-3-16-32";

  it("is one token per character, without BOS", async () => {
    const tokenizer = await loadTokenizer(join(shared, "models", model));
    const prompt = tokenizer.encode("ROMEO:\n");
    expect(prompt.length).toBe(7);
    expect(tokenizer.decode(prompt)).toBe("ROMEO:\n");
    const ids = await goldenIds(model, "input_ids");
    expect(ids.slice(0, 7)).toEqual(prompt);
    expect(streamed(tokenizer, ids, 7)).toEqual([...tokenizer.decode(ids.slice(7)), ""]);
    expect(tokenizer.endIds).toEqual([]);
  });

  it("says so when a text holds a character that it does not know", async () => {
    const tokenizer = await loadTokenizer(join(shared, "models", model));
    expect(() => tokenizer.encode("ROMEO€")).toThrow('no token for "€"');
  });
});

describe("a folder without a usable tokenizer", () => {
  const folders: string[] = [];
  afterEach(async () => {
    for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
  });
  async function folderWith(text: string | undefined): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), "phdc-tokenizer-"));
    folders.push(folder);
    if (text !== undefined) await writeFile(join(folder, "tokenizer.json"), text);
    return folder;
  }

  it.each([
    ["has no file", undefined, "tokenizer-missing"],
    ["has text that is no JSON", "{", "tokenizer-invalid"],
    ["has a list", "[]", "tokenizer-invalid"],
    ["has an empty object", "{}", "tokenizer-invalid"],
    ["names a model nobody knows", '{"model":{"type":"Morse"}}', "tokenizer-invalid"],
  ])("%s, and the error says so", async (_, text, code) => {
    await expect(loadTokenizer(await folderWith(text))).rejects.toMatchObject({ name: "TokenizerError", code });
  });
});
