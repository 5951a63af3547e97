/**
 * Text to token ids and back. The run time needs no more of a tokenizer than this; `node/tokenizer.ts` reads Hugging Face's files, and
 * a page may bring its own.
 */
export interface Tokenizer {
  /** Ids of a text, with the tokens that the model expects around it (a BOS) unless `special` is false. */
  encode(text: string, options?: { readonly special?: boolean }): number[];
  /** Text of ids; special tokens leave no trace. */
  decode(ids: readonly number[]): string;
  /** Ids after which generation stops. */
  readonly endIds: readonly number[];
}

/** What a decoder writes for bytes that are no complete character. */
const incomplete = "\uFFFD";
/** Bytes of the longest UTF-8 character: a token beyond that cannot complete what the first one began. */
const longestCharacter = 4;

/**
 * Turns ids into text as they come, and gives out only what no later token can change: a character whose bytes are spread over several
 * tokens appears when the last of them is there.
 *
 * Decoders look at neighbours (a leading space is dropped at the start of a text only), so every token is decoded behind the tokens
 * before it, and the text gained is given out.
 */
export class TextStream {
  readonly #tokenizer: Tokenizer;
  /** Tokens already given out that keep their successors from looking like the start of a text, then tokens held back. */
  #window: number[];
  #given: number;

  /** `before` are the ids before the stream, the prompt: their text is not given out. */
  constructor(tokenizer: Tokenizer, before: readonly number[] = []) {
    this.#tokenizer = tokenizer;
    this.#window = [...before];
    this.#given = before.length;
    this.#shorten();
  }

  /** The text that `id` completes, possibly none. */
  push(id: number): string {
    this.#window.push(id);
    const text = this.#pending();
    const held = this.#window.length - this.#given;
    if (text.endsWith(incomplete) && held < longestCharacter) return "";
    return this.#give(text);
  }

  /** What is still held back, when no more ids come. */
  end(): string {
    return this.#give(this.#pending());
  }

  #pending(): string {
    const before = this.#tokenizer.decode(this.#window.slice(0, this.#given));
    return this.#tokenizer.decode(this.#window).slice(before.length);
  }

  #give(text: string): string {
    this.#given = this.#window.length;
    this.#shorten();
    return text;
  }

  /** Keeps the shortest run of the latest tokens that decodes to some text; everything before it has no influence any more. */
  #shorten(): void {
    for (let kept = 1; kept < this.#window.length; kept++) {
      const tail = this.#window.slice(-kept);
      const text = this.#tokenizer.decode(tail);
      if (text !== "" && !text.includes(incomplete)) {
        this.#window = tail;
        this.#given = kept;
        return;
      }
    }
  }
}
