/** The sizes of the models that the benchmark knows by name; apart from `shapes.ts`, so that a list of names loads no compiler. */

export interface Sizes {
  readonly layers: number;
  readonly dim: number;
  readonly ffn: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly vocab: number;
}

export const shapeSizes: Readonly<Record<string, Sizes>> = {
  "2x64": { layers: 2, dim: 64, ffn: 128, heads: 4, kvHeads: 2, vocab: 512 },
  "4x256": { layers: 4, dim: 256, ffn: 768, heads: 8, kvHeads: 2, vocab: 4096 },
  "550m": { layers: 16, dim: 1536, ffn: 4096, heads: 16, kvHeads: 4, vocab: 100278 },
  "1.2b": { layers: 16, dim: 2048, ffn: 8192, heads: 32, kvHeads: 8, vocab: 100278 },
};

const families = ["llama", "olmo2"] as const;

/** `llama-4x256`, `olmo2-1.2b`, … */
export const shapeNames: readonly string[] = Object.keys(shapeSizes).flatMap((size) =>
  families.map((family) => `${family}-${size}`),
);
