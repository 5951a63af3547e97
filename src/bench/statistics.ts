/** What many measurements of one thing say together. */

/** Middle and spread of some measurements, in their unit. */
export interface Summary {
  readonly median: number;
  /** A quarter of the measurements is at or below this, and a quarter at or above `upperQuartile`. */
  readonly lowerQuartile: number;
  readonly upperQuartile: number;
  readonly least: number;
  readonly most: number;
  readonly count: number;
}

export function summarise(values: readonly number[]): Summary {
  if (values.length === 0) throw new Error("there is nothing to summarise");
  const sorted = [...values].sort((a, b) => a - b);
  return {
    median: quantile(sorted, 0.5),
    lowerQuartile: quantile(sorted, 0.25),
    upperQuartile: quantile(sorted, 0.75),
    least: sorted[0]!,
    most: sorted.at(-1)!,
    count: sorted.length,
  };
}

/** The same measurements in another unit: each times a positive factor. */
export function scaled(summary: Summary, factor: number): Summary {
  return {
    median: summary.median * factor,
    lowerQuartile: summary.lowerQuartile * factor,
    upperQuartile: summary.upperQuartile * factor,
    least: summary.least * factor,
    most: summary.most * factor,
    count: summary.count,
  };
}

export function median(values: readonly number[]): number {
  return summarise(values).median;
}

/** Between two measurements the line that joins them counts. */
function quantile(sorted: readonly number[], share: number): number {
  const place = (sorted.length - 1) * share;
  const below = Math.floor(place);
  const above = Math.ceil(place);
  return sorted[below]! + (sorted[above]! - sorted[below]!) * (place - below);
}
