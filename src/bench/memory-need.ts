/** What points need of a device's memory, known before any of it is asked for. */
import type { Program } from "../compile.js";
import { OutOfMemory } from "../runtime/errors.js";
import { planWeights, weightBytes } from "../runtime/packing.js";
import { type SessionOptions, type SizeLimits, shapeSession } from "../runtime/shape.js";
import { type Effort, heapSteps, warmUpSteps } from "./effort.js";
import type { Point } from "./report.js";

/** Bytes. */
export interface MemoryNeed {
  readonly weights: number;
  readonly caches: number;
  readonly working: number;
}

/** How large the sessions of a point are. The whole prompt is one slice, so that its work is that of one plan. */
export function sessionOf({ prompt, batch }: Point, { steps }: Effort): SessionOptions & { context: number } {
  return { batch, context: prompt + warmUpSteps + Math.max(steps, heapSteps) + 1, slice: prompt };
}

/** What a point needs. Throws OutOfMemory where one buffer alone is too large for the device. */
export function memoryOf(program: Program, point: Point, effort: Effort, limits: SizeLimits): MemoryNeed {
  const shape = shapeSession(program.manifest, sessionOf(point, effort), limits);
  const sum = (wanted: (purpose: string) => boolean) =>
    shape.buffers.filter(({ purpose }) => wanted(purpose)).reduce((total, { bytes }) => total + bytes, 0);
  return {
    weights: weightBytes(planWeights(program.manifest, limits)),
    caches: sum((purpose) => purpose === "cache"),
    working: sum((purpose) => purpose !== "cache"),
  };
}

/** Throws OutOfMemory, with the figures, unless a point fits by itself. */
export function assertRoom(need: MemoryNeed, allowed: number | undefined): void {
  const needed = together([need]);
  if (allowed === undefined || needed <= allowed) return;
  throw new OutOfMemory(`the model needs ${needed} bytes and ${allowed} are allowed`, {
    details: { needed, allowed, ...need },
  });
}

/** Bytes of points whose models stay loaded while their sessions follow one another. */
export function together(needs: readonly MemoryNeed[]): number {
  const weights = needs.reduce((total, need) => total + need.weights, 0);
  return weights + Math.max(0, ...needs.map(({ caches, working }) => caches + working));
}
