/** The points of a sweep: every combination of what was asked for that makes sense. */
import type { Variant } from "../import/model-config.js";
import type { Quantisation } from "../runtime/manifest.js";
import type { Point } from "./report.js";
import { boundsOf } from "./shapes.js";

export type QuantiseName = "none" | "int8" | "int4";

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
  /** What products' weights are stored as; `none` keeps them floats. */
  readonly quantise: readonly QuantiseName[];
  /** Neighbouring inputs that share a scale, where weights are quantised. */
  readonly group: Quantisation["group"];
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
                for (const prompt of sweep.prompt)
                  for (const quantise of sweep.quantise) {
                    const stored = quantise === "none" ? {} : { quantise, group: sweep.group };
                    const rest = { model, copies, prompt, batch, dtype, ...stored, device };
                    const point = pointOf(rest, sweep.variant, window, chunk);
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

/** How a point's weights are quantised, as the compiler is told. */
export function quantisationOf({ quantise, group }: Point): { readonly quantise?: Quantisation } {
  if (quantise === undefined) return {};
  return { quantise: { bits: quantise === "int4" ? 4 : 8, group: group as Quantisation["group"] } };
}

/** `f32`; `f32 + int4/32` where products read integers of 4 bits that share a scale by 32. */
export function describeDtype({ dtype, quantise, group }: Point): string {
  return quantise === undefined ? dtype : `${dtype} + ${quantise}/${group}`;
}

/** `llama-4x256, phd-cswa K = 3 W = 16 C = 32, n = 128, batch 1, f32 on webgpu`. */
export function describePoint(point: Point): string {
  const { model, variant, copies, window, chunk, prompt, batch, device } = point;
  const bounds = [
    `K = ${copies}`,
    ...(window === undefined ? [] : [`W = ${window}`]),
    ...(chunk === undefined ? [] : [`C = ${chunk}`]),
  ];
  const relation = variant === "own" ? "" : `${variant} `;
  return `${model}, ${relation}${bounds.join(" ")}, n = ${prompt}, batch ${batch}, ${describeDtype(point)} on ${device}`;
}
