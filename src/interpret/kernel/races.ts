/**
 * Finds data races: two invocations touch an element, one of them stores, and no barrier lies between.
 *
 * `epoch` counts barriers. Device memory is never ordered between invocations of one dispatch, so its tracker stays in one epoch.
 */
export class RaceTracker {
  private readonly writer: Int32Array;
  private readonly writeEpoch: Int32Array;
  private readonly reader: Int32Array;
  private readonly readEpoch: Int32Array;
  epoch = 1;

  constructor(
    private readonly name: string,
    elements: number,
    private readonly report: (message: string) => never,
  ) {
    this.writer = new Int32Array(elements);
    this.writeEpoch = new Int32Array(elements);
    this.reader = new Int32Array(elements);
    this.readEpoch = new Int32Array(elements);
  }

  load(index: number, invocation: number): void {
    if (this.writeEpoch[index] === this.epoch && this.writer[index] !== invocation) {
      this.report(
        `race on ${this.name}[${index}]: invocation ${invocation} loads what ${this.writer[index]} stores, with no barrier between`,
      );
    }
    const shared = this.readEpoch[index] === this.epoch && this.reader[index] !== invocation;
    this.reader[index] = shared ? several : invocation;
    this.readEpoch[index] = this.epoch;
  }

  store(index: number, invocation: number): void {
    if (this.writeEpoch[index] === this.epoch && this.writer[index] !== invocation) {
      this.report(
        `race on ${this.name}[${index}]: invocations ${this.writer[index]} and ${invocation} both store, with no barrier between`,
      );
    }
    if (this.readEpoch[index] === this.epoch && this.reader[index] !== invocation) {
      const reader = this.reader[index] === several ? "others" : `invocation ${this.reader[index]}`;
      this.report(
        `race on ${this.name}[${index}]: invocation ${invocation} stores what ${reader} loaded, with no barrier between`,
      );
    }
    this.writer[index] = invocation;
    this.writeEpoch[index] = this.epoch;
  }
}

const several = -1;
