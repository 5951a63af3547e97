/**
 * What was derived from a model, in numbers: which rows a prompt computes, which keys stay, what a step costs, and why.
 *
 * Everything comes from the analyses that the kernels and caches are built from; nothing is worked out a second time.
 */
import type { Program } from "../compile.js";
import { evaluate } from "../ir/expr.js";
import { countRows } from "../passes/tokens/row-set.js";
import type { Manifest } from "../runtime/manifest.js";
import { layersOf, packedShape } from "../runtime/packing.js";
import { elementBytes, storesOf } from "../runtime/shape.js";
import { describeSpan, textOfSpan } from "../source/source-file.js";
import { describeLayout } from "./describe-layout.js";
import { ModelWork } from "./model-work.js";
import { type LayerRows, type Plan, planOfPaper, planOfProgram, planOfRepetition, planWithoutCopies } from "./plans.js";

/** One layer and key group, for a prompt of n positions. */
export interface GroupPlan {
  readonly layer: number;
  readonly group: string;
  /** Rows of the prompt that get a key and a value. */
  readonly kv_rows: number;
  /** Rows that get a query and an output projection. */
  readonly query_rows: number;
  /** Rows that pass the feed-forward part: those that leave the layer. */
  readonly ffn_rows: number;
  /** Keys that the cache holds after the prompt. */
  readonly retained: number;
  /** Those of them that some later step reads; the others are there because no simpler layout leaves them out. */
  readonly read_later: number;
  /** Bytes of the retained keys and their values. */
  readonly bytes: number;
  /** How they are kept: `for ever`, `ring of 16`, … */
  readonly retention: string;
  /** The part of the relation that decides it, as it was written, with its place. */
  readonly reason: string;
}

/** One figure for the model and for what it is compared with. */
export interface Compared {
  /** The program itself. */
  readonly value: number;
  /** K = 1: every token once, every key kept. */
  readonly single: number;
  /** Plain repetition: every copy sees all that is not after it in stream order. */
  readonly repetition: number;
  /** This model as the paper runs it: hidden tokens of whole prompts or whole chunks, all rows in all layers. */
  readonly paper: number;
}

export interface Explanation {
  readonly model: string;
  readonly copies: number;
  readonly n: number;
  readonly attends: readonly string[];
  readonly layers: readonly GroupPlan[];
  readonly kv_bytes: Compared;
  /** Multiplications and additions of all products, with weights and in attention; there of the keys between a query's bounds. */
  readonly prefill_flops: Compared;
  /** Weights of matrix products, read once, and the keys and values that the prompt writes. */
  readonly prefill_bytes: Compared;
  readonly decode_flops: Compared;
  /** Bytes that a decode step reads: weights of matrix products once, and every kept key and value. */
  readonly decode_bytes: Compared;
}

/** Explains a program for a prompt of `n` positions. */
export function explain(program: Program, n: number): Explanation {
  const { graph, facts, manifest } = program;
  const plans = {
    value: planOfProgram(program, n),
    single: planWithoutCopies(facts.system, n),
    repetition: planOfRepetition(facts.system, n),
    paper: planOfPaper(program, n),
  };
  const compared = (figure: (plan: Plan) => number): Compared => ({
    value: figure(plans.value),
    single: figure(plans.single),
    repetition: figure(plans.repetition),
    paper: figure(plans.paper),
  });

  const work = new ModelWork(graph);
  const flops = (layers: readonly LayerRows[]) =>
    work.flops((layer, rows) => (rows === "input" ? layers[layer]!.input : layers[layer]!.query)) +
    work.attentionFlops(layers.map(({ pairs }) => pairs));
  const keyBytes = keyBytesOf(program);
  const bytesOfKeys = (counts: readonly number[]) =>
    counts.reduce((total, count, layer) => total + count * keyBytes[layer]!, 0);
  const weightBytes = productBytes(manifest, work);
  return {
    model: manifest.model.name,
    copies: manifest.model.copies,
    n,
    attends: manifest.model.attends,
    layers: groupPlans(program, n),
    kv_bytes: compared(({ kept }) => bytesOfKeys(kept)),
    prefill_flops: compared(({ prefill }) => flops(prefill)),
    prefill_bytes: compared(({ prefill }) => weightBytes + bytesOfKeys(prefill.map(({ keys }) => keys))),
    decode_flops: compared(({ decode }) => flops(decode)),
    decode_bytes: compared(({ kept }) => weightBytes + bytesOfKeys(kept)),
  };
}

/** Bytes of the matrices that rows are multiplied with, as they are stored. */
function productBytes(manifest: Manifest, work: ModelWork): number {
  const quantised = manifest.weights.filter((info) => info.quantised !== undefined);
  if (quantised.length === 0) {
    const matrix = manifest.weights.find(({ columns }) => columns > 1);
    return work.elements() * elementBytes[matrix?.element ?? "f32"];
  }
  return quantised.reduce(
    (total, info) => total + layersOf(manifest, info).length * info.rows * packedShape(info).rowBytes,
    0,
  );
}

function groupPlans(program: Program, n: number): GroupPlan[] {
  const { facts } = program;
  const env = { n, start: 0 };
  const keyBytes = keyBytesOf(program);
  return facts.retention.flatMap((retention, layer) =>
    facts.groups.map((group, index): GroupPlan => {
      const { kv, query } = facts.prefill.layers[layer]!;
      const { live, read, layout, reason } = retention[index]!;
      const retained = evaluate(live, { n });
      const leaving = countRows(query[index]!, env);
      return {
        layer,
        group: group.name,
        kv_rows: countRows(kv[index]!, env),
        query_rows: leaving,
        ffn_rows: leaving,
        retained,
        read_later: countRows(read, { n }),
        bytes: retained * keyBytes[layer]!,
        retention: describeLayout(layout),
        reason: reason.text + wherefrom(program, layer, reason.span?.file.name),
      };
    }),
  );
}

/** The attend that a clause stands in, where the clause is text of another file: a rule of the library. */
function wherefrom({ graph, facts }: Program, layer: number, file: string | undefined): string {
  const which = facts.system.layers[layer];
  const origin = which === undefined ? undefined : graph.attends[which]!.origin;
  if (origin === undefined || file === undefined || file === origin.file.name) return "";
  return `; it comes from \`${textOfSpan(origin)}\` (${describeSpan(origin)})`;
}

/** Bytes of one key and its value, per layer. */
function keyBytesOf({ facts, manifest }: Program): number[] {
  return facts.retention.map((_, layer) => {
    const { element, kvWidth } = storesOf(manifest, layer)[0]!;
    return 2 * kvWidth * elementBytes[element];
  });
}
