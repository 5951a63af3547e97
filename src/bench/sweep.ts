/** The points of a sweep: every combination of what was asked for that makes sense. */
import type { Variant } from "../import/model-config.js";
import type { Point } from "./report.js";
import { boundsOf } from "./shapes.js";

export interface Sweep {
  /** Named shapes, or files. */
  readonly models: readonly string[];
  /** Of named shapes; `own` for files, which state their relation themselves. */
  readonly variant: Variant | "own";
  readonly copies: readonly number[];
  /** What is undefined stays as a file has it. */
  readonly window: readonly (number | undefined)[];
  readonly chunk: readonly (number | undefined)[];
  readonly prompt: readonly number[];
  readonly batch: readonly number[];
  readonly dtype: readonly string[];
  readonly device: readonly string[];
}

/** Points in the order in which they are measured: those that share a device follow each other, and those that share a model. */
export function pointsOf(sweep: Sweep): Point[] {
  const points = new Map<string, Point>();
  for (const device of sweep.device)
    for (const dtype of sweep.dtype)
      for (const model of sweep.models)
        for (const copies of sweep.copies)
          for (const window of sweep.window)
            for (const chunk of sweep.chunk)
              for (const batch of sweep.batch)
                for (const prompt of sweep.prompt) {
                  const point = pointOf({ model, copies, prompt, batch, dtype, device }, sweep.variant, window, chunk);
                  // Models without a window are the same for every window.
                  points.set(JSON.stringify(point), point);
                }
  return [...points.values()];
}

function pointOf(
  rest: Omit<Point, "variant" | "window" | "chunk">,
  stated: Sweep["variant"],
  window: number | undefined,
  chunk: number | undefined,
): Point {
  if (stated === "own") {
    return { ...rest, variant: stated, ...(window !== undefined && { window }), ...(chunk !== undefined && { chunk }) };
  }
  const variant = rest.copies === 1 ? "vanilla" : stated;
  const has = boundsOf({ variant, copies: rest.copies });
  return {
    ...rest,
    variant,
    ...(has.window && window !== undefined && { window }),
    ...(has.chunk && chunk !== undefined && { chunk }),
  };
}

/** `llama-4x256, phd-cswa K = 3 W = 16 C = 32, n = 128, batch 1, f32 on webgpu`. */
export function describePoint({ model, variant, copies, window, chunk, prompt, batch, dtype, device }: Point): string {
  const bounds = [
    `K = ${copies}`,
    ...(window === undefined ? [] : [`W = ${window}`]),
    ...(chunk === undefined ? [] : [`C = ${chunk}`]),
  ];
  const relation = variant === "own" ? "" : `${variant} `;
  return `${model}, ${relation}${bounds.join(" ")}, n = ${prompt}, batch ${batch}, ${dtype} on ${device}`;
}
