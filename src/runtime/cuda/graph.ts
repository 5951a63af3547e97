/** Launches that the driver knows as a whole: captured once, replayed with one call. */
import type { CheckedDriver } from "./checked-driver.js";
import { captureThreadLocal } from "./driver.js";

export class LaunchGraph {
  readonly #driver: CheckedDriver;
  readonly #executable: bigint;

  /** `launch` gives its launches to the stream, which records them and runs none. */
  constructor(driver: CheckedDriver, stream: bigint, launch: () => void) {
    this.#driver = driver;
    const graph = capture(driver, stream, launch);
    try {
      this.#executable = driver.create("a graph of launches", "cuGraphInstantiateWithFlags", graph, 0n);
      driver.resources.created("graph");
    } finally {
      driver.release("a graph of launches", "cuGraphDestroy", graph);
    }
  }

  run(what: string, stream: bigint): void {
    this.#driver.call(what, "cuGraphLaunch", this.#executable, stream);
  }

  /** What runs already ends as it would. */
  destroy(): void {
    this.#driver.release("a graph of launches", "cuGraphExecDestroy", this.#executable);
    this.#driver.resources.released("graph");
  }
}

function capture(driver: CheckedDriver, stream: bigint, launch: () => void): bigint {
  driver.call("recording launches", "cuStreamBeginCapture_v2", stream, captureThreadLocal);
  try {
    launch();
  } catch (error) {
    // The stream must leave the capture, whatever it has become.
    const broken = new BigUint64Array(1);
    driver.result("cuStreamEndCapture", stream, broken);
    if (broken[0] !== 0n) driver.result("cuGraphDestroy", broken[0]!);
    throw error;
  }
  return endCapture(driver, stream);
}

function endCapture(driver: CheckedDriver, stream: bigint): bigint {
  const graph = new BigUint64Array(1);
  driver.call("recording launches", "cuStreamEndCapture", stream, graph);
  return graph[0]!;
}
