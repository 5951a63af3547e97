import { DiagnosticError } from "../../diagnostics/diagnostic.js";
import { diagnosticOf } from "../../diagnostics/from-error.js";
import { ContextFull, RequestError } from "../../runtime/errors.js";
import { loadTokenizer } from "../../runtime/node/tokenizer.js";
import { TextStream } from "../../runtime/tokenizer.js";
import { readSource } from "../files.js";
import { openModel } from "../open-model.js";
import type { DeviceName, DtypeName, QuantizeOptions, Settings } from "../options.js";
import { exitCodes } from "../report.js";
import type { Terminal } from "../terminal.js";

export interface RunOptions extends QuantizeOptions {
  readonly weights: string;
  readonly prompt: readonly string[];
  readonly maxTokens: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly seed: number;
  readonly context?: number;
  readonly device: DeviceName;
  readonly dtype: DtypeName;
  readonly set: Settings;
  readonly tuned?: boolean;
  readonly json?: boolean;
}

/** Positions where `--context` is not given: room for a long prompt and the usual number of tokens. */
const usualContext = 2048;

/** Between the continuations of several prompts. */
const separator = "\n---\n";

interface Continuation {
  readonly stream: TextStream;
  readonly ids: number[];
  text: string;
}

/**
 * `phdc run FILE`: continues prompts. stdout carries the continuation and nothing else; those of several prompts come in the order of
 * the prompts, with a line `---` between them.
 */
export async function runCommand(terminal: Terminal, path: string, options: RunOptions): Promise<number> {
  const source = await readSource(terminal, path);
  const tokenizer = await loadTokenizer(options.weights);
  const prompts = options.prompt.map((prompt) => tokenizer.encode(prompt));
  const empty = prompts.findIndex((ids) => ids.length === 0);
  if (empty >= 0) {
    throw new RequestError(`the prompt ${JSON.stringify(options.prompt[empty])} has no tokens`, {
      hint: "This tokenizer begins no text by itself; give the prompt at least one character.",
    });
  }
  const model = await openModel(terminal, source, options);
  try {
    const shape = { batch: prompts.length, context: options.context ?? usualContext };
    await model.load(shape);
    const session = await model.openSession(shape);
    const printer = new Printer(
      terminal,
      prompts.map((ids) => ({ stream: new TextStream(tokenizer, ids), ids: [], text: "" })),
      options.json === true,
    );
    try {
      const { maxTokens, seed } = options;
      const sampling = {
        // Asking for the k likeliest, or for a nucleus, is asking to sample.
        temperature: options.temperature ?? (options.topK === undefined && options.topP === undefined ? 0 : 1),
        topK: options.topK ?? 0,
        topP: options.topP ?? 1,
      };
      const tokens = session.generate(prompts, { maxTokens, seed, ...sampling, endIds: tokenizer.endIds });
      for await (const { sequence, id } of tokens) printer.add(sequence, id);
    } catch (error) {
      throw error instanceof ContextFull ? contextFull(error) : error;
    } finally {
      printer.end();
      session.close();
    }
    if (options.json) {
      const continuations = printer.continuations.map(({ text, ids }, index) => ({
        prompt: options.prompt[index],
        text,
        ids,
        stopped: ids.length < options.maxTokens ? "end" : "length",
      }));
      terminal.out(`${JSON.stringify({ device: model.device.name, continuations }, null, 2)}\n`);
    }
  } finally {
    await model.close();
  }
  return exitCodes.ok;
}

/** The same error with a way out that a command line has. */
function contextFull(error: ContextFull): DiagnosticError {
  return new DiagnosticError([{ ...diagnosticOf(error), hint: "Give --context a larger number." }]);
}

/** Streams the first continuation as it comes, keeps the others until it is their turn. */
class Printer {
  constructor(
    readonly terminal: Terminal,
    readonly continuations: readonly Continuation[],
    readonly silent: boolean,
  ) {}

  add(sequence: number, id: number): void {
    const continuation = this.continuations[sequence]!;
    continuation.ids.push(id);
    this.#print(sequence, continuation.stream.push(id));
  }

  /** Gives out what was held back; also after an error, so that what was generated is seen. */
  end(): void {
    for (const [sequence, { stream }] of this.continuations.entries()) this.#print(sequence, stream.end());
    if (this.silent) return;
    for (const { text } of this.continuations.slice(1)) this.terminal.out(`${separator}${text}`);
    if (this.terminal.outInteractive) this.terminal.out("\n");
  }

  #print(sequence: number, text: string): void {
    this.continuations[sequence]!.text += text;
    if (sequence === 0 && !this.silent) this.terminal.out(text);
  }
}
