/** The layers of an imported model: calls of the architecture's block, with the base model's sliding window where it has one. */
import type { ModelConfig } from "./model-config.js";
import { printBiasedBlock } from "./print-biased-block.js";

export interface PrintedBlocks {
  /** Functions that the file defines for itself, above the model. */
  readonly functions: readonly string[];
  /** The body of the layer loop, not indented. */
  readonly layer: readonly string[];
}

export function printBlocks(model: ModelConfig): PrintedBlocks {
  const biased = model.attentionBias || model.mlpBias;
  const block = biased ? "biased_block" : `${model.architecture}_block`;
  const functions = biased ? [...printBiasedBlock(model), ""] : [];
  const call = `x = ${block}(x, heads, kv_heads, head_dim, ffn, eps = eps)`;
  return { functions, layer: printLayer(model, call) };
}

function printLayer({ sliding }: ModelConfig, call: string): readonly string[] {
  if (sliding === undefined) return [call];
  const windowed = ["attend q -> k when vanilla(q, k) and q.pos - k.pos < window", call];
  const condition = printCondition(sliding.layers);
  if (condition === undefined) return windowed;
  return [`if ${condition} {`, ...windowed.map((line) => `  ${line}`), "} else {", `  ${call}`, "}"];
}

/** Which layers have a window, as a condition on `l`; undefined for all of them. */
function printCondition(layers: readonly boolean[]): string | undefined {
  if (!layers.includes(false)) return undefined;
  const first = layers.indexOf(true);
  if (layers.slice(first).every((windowed) => windowed)) return `l >= ${first}`;
  const period = findPeriod(layers);
  const within = (windowed: boolean) =>
    layers.slice(0, period).flatMap((other, remainder) => (other === windowed ? [remainder] : []));
  const index = period === layers.length ? "l" : `l mod ${period}`;
  const [inside, outside] = [within(true), within(false)];
  // The shorter way to say it: the layers with a window, or those without.
  return inside.length <= outside.length
    ? inside.map((remainder) => `${index} == ${remainder}`).join(" or ")
    : outside.map((remainder) => `${index} != ${remainder}`).join(" and ");
}

/** The shortest pattern of which the list is a repetition, possibly cut off. */
function findPeriod(layers: readonly boolean[]): number {
  for (let period = 1; period < layers.length; period++) {
    if (layers.every((windowed, layer) => windowed === layers[layer % period])) return period;
  }
  return layers.length;
}
