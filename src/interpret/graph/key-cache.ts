/**
 * The keys and values of one layer and one sequence, addressed by stream index pos · K + copy - 1.
 *
 * What was never written, and what is forgotten, is NaN. So if retention or demand were derived wrongly, the logits show it.
 */
export class KeyCache {
  private keys = new Float64Array(0);
  private values = new Float64Array(0);

  /** `width`: elements of a key (and of a value) over all its heads. */
  constructor(readonly width: number) {}

  get keyData(): Float64Array {
    return this.keys;
  }

  get valueData(): Float64Array {
    return this.values;
  }

  write(index: number, key: Float64Array, keyAt: number, value: Float64Array, valueAt: number): void {
    this.reserve(index + 1);
    this.keys.set(key.subarray(keyAt, keyAt + this.width), index * this.width);
    this.values.set(value.subarray(valueAt, valueAt + this.width), index * this.width);
  }

  forget(index: number): void {
    if ((index + 1) * this.width > this.keys.length) return;
    this.keys.fill(Number.NaN, index * this.width, (index + 1) * this.width);
    this.values.fill(Number.NaN, index * this.width, (index + 1) * this.width);
  }

  /** Makes room for this many tokens; new room is poisoned. */
  reserve(tokens: number): void {
    if (tokens * this.width <= this.keys.length) return;
    const length = Math.max(tokens * this.width, 2 * this.keys.length);
    const grown = (old: Float64Array) => {
      const data = new Float64Array(length).fill(Number.NaN);
      data.set(old);
      return data;
    };
    this.keys = grown(this.keys);
    this.values = grown(this.values);
  }
}
