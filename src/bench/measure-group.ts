/**
 * Points that are compared with each other, measured in turn.
 *
 * A ratio of two times means something only where both were taken under the same conditions, and a machine does other things meanwhile.
 * So all models of a group are loaded, each round takes one measurement of every point, and what disturbs a round disturbs all of them.
 * Where the models do not fit into memory together, one follows the other.
 */
import { OutOfMemory, PhdcError } from "../runtime/errors.js";
import { type Bench, type CompiledPoint, LoadedPoint } from "./measure-point.js";
import { together } from "./memory-need.js";
import type { Point, PointReport, SkippedPoint } from "./report.js";

export type Outcome = PointReport | SkippedPoint;

/** Is told what is being done, for people who wait. */
export type Watch = (point: Point, what: string) => void;

/** Measures points. What cannot be measured is skipped with the reason. `allowed`: bytes, where they are known. */
export async function measureGroup(
  bench: Bench,
  points: readonly CompiledPoint[],
  allowed: number | undefined,
  watch: Watch,
): Promise<Outcome[]> {
  const needed = together(points.map(({ memory }) => memory));
  if (points.length > 1 && (allowed === undefined || needed <= allowed)) {
    try {
      return await measureRounds(bench, points, "in-turn", watch);
    } catch (error) {
      // A device that does not tell how much memory it has refuses what is too much.
      if (!(error instanceof OutOfMemory)) throw error;
    }
  }
  const outcomes: Outcome[] = [];
  for (const point of points) outcomes.push(...(await measureRounds(bench, [point], "alone", watch)));
  return outcomes;
}

/** Throws OutOfMemory where several points are too much together. */
async function measureRounds(
  bench: Bench,
  points: readonly CompiledPoint[],
  measured: PointReport["measured"],
  watch: Watch,
): Promise<Outcome[]> {
  const group = new LoadedGroup(bench, measured, watch);
  try {
    for (const point of points) await group.load(point);
    if (!group.slow) await group.warmUp();
    for (let round = 1; round <= bench.effort.repeat; round++) await group.measure(round);
    await group.report();
    return group.outcomes;
  } finally {
    group.close();
  }
}

/** Points that are loaded. One that fails leaves the group, and the others go on. */
class LoadedGroup {
  readonly outcomes: Outcome[] = [];
  readonly #bench: Bench;
  readonly #measured: PointReport["measured"];
  readonly #watch: Watch;
  readonly #loaded = new Map<Point, LoadedPoint>();

  constructor(bench: Bench, measured: PointReport["measured"], watch: Watch) {
    this.#bench = bench;
    this.#measured = measured;
    this.#watch = watch;
  }

  get slow(): boolean {
    return [...this.#loaded.values()].some(({ slow }) => slow);
  }

  async load(compiled: CompiledPoint): Promise<void> {
    const { point } = compiled;
    await this.#attempt(point, "loading", async () => {
      this.#loaded.set(point, await LoadedPoint.load(this.#bench, compiled));
    });
  }

  async warmUp(): Promise<void> {
    await this.#each("warming up", (loaded) => loaded.measure());
    for (const loaded of this.#loaded.values()) loaded.restart();
  }

  async measure(round: number): Promise<void> {
    await this.#each(`round ${round} of ${this.#bench.effort.repeat}`, (loaded) => loaded.measure());
  }

  async report(): Promise<void> {
    const what = this.#bench.effort.kernels ? "single kernels" : "counting";
    await this.#each(what, async (loaded) => {
      this.outcomes.push(await loaded.report(this.#measured));
    });
  }

  close(): void {
    for (const loaded of this.#loaded.values()) loaded.close();
    this.#loaded.clear();
  }

  async #each(what: string, work: (loaded: LoadedPoint) => Promise<void>): Promise<void> {
    for (const [point, loaded] of [...this.#loaded]) await this.#attempt(point, what, () => work(loaded));
  }

  async #attempt(point: Point, what: string, work: () => Promise<void>): Promise<void> {
    this.#watch(point, what);
    try {
      this.#bench.device.assertAlive();
      await work();
    } catch (error) {
      if (!(error instanceof PhdcError)) throw error;
      if (error instanceof OutOfMemory && this.#measured === "in-turn") throw error;
      this.outcomes.push({ ...point, reason: error.message });
      this.#loaded.get(point)?.close();
      this.#loaded.delete(point);
    }
  }
}
