/**
 * Finds data races: two invocations touch an element, one of them stores, and no barrier lies between.
 *
 * `epoch` counts barriers that order the memory. Workgroup memory belongs to one workgroup at a time, which starts a new epoch. Device
 * memory is never ordered between the workgroups of a dispatch, so there only invocations of one workgroup are told apart by epochs.
 */
export class RaceTracker {
  private readonly writer: Int32Array;
  private readonly writeEpoch: Int32Array;
  private readonly reader: Int32Array;
  private readonly readEpoch: Int32Array;
  epoch = 1;

  /** @param workgroupSize of device memory, whose invocations are numbered through all workgroups */
  constructor(
    private readonly name: string,
    elements: number,
    private readonly report: (message: string) => never,
    private readonly workgroupSize?: number,
  ) {
    this.writer = new Int32Array(elements);
    this.writeEpoch = new Int32Array(elements);
    this.reader = new Int32Array(elements);
    this.readEpoch = new Int32Array(elements);
  }

  load(index: number, invocation: number): void {
    const writer = this.writer[index]!;
    if (writer !== invocation && this.unordered(writer, this.writeEpoch[index]!, invocation)) {
      this.report(
        `race on ${this.name}[${index}]: invocation ${invocation} loads what ${writer} stores, with no barrier between`,
      );
    }
    const reader = this.reader[index]!;
    if (reader === invocation || !this.unordered(reader, this.readEpoch[index]!, invocation)) {
      this.reader[index] = invocation;
    } else this.reader[index] = this.sameWorkgroup(reader, invocation) ? -1 - this.workgroupOf(invocation) : several;
    this.readEpoch[index] = this.epoch;
  }

  store(index: number, invocation: number): void {
    const writer = this.writer[index]!;
    if (writer !== invocation && this.unordered(writer, this.writeEpoch[index]!, invocation)) {
      this.report(
        `race on ${this.name}[${index}]: invocations ${writer} and ${invocation} both store, with no barrier between`,
      );
    }
    const reader = this.reader[index]!;
    if (reader !== invocation && this.unordered(reader, this.readEpoch[index]!, invocation)) {
      const who = reader < 0 ? "others" : `invocation ${reader}`;
      this.report(
        `race on ${this.name}[${index}]: invocation ${invocation} stores what ${who} loaded, with no barrier between`,
      );
    }
    this.writer[index] = invocation;
    this.writeEpoch[index] = this.epoch;
  }

  /** Whether nothing orders what `other` did in an epoch, if it did anything, and what `invocation` does now. */
  private unordered(other: number, epoch: number, invocation: number): boolean {
    if (epoch === 0) return false;
    return epoch === this.epoch || (this.workgroupSize !== undefined && !this.sameWorkgroup(other, invocation));
  }

  private sameWorkgroup(reader: number, invocation: number): boolean {
    return reader !== several && this.workgroupOf(reader) === this.workgroupOf(invocation);
  }

  /** Several invocations of one workgroup w are noted as -1 - w. */
  private workgroupOf(noted: number): number {
    if (this.workgroupSize === undefined) return 0;
    return noted < 0 ? -1 - noted : Math.floor(noted / this.workgroupSize);
  }
}

/** Readers in more than one workgroup. */
const several = -(2 ** 31);
