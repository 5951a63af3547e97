/** Axes: from values to pixels, and where the ticks are. */

export interface Scale {
  /** The pixel of a value. */
  at(value: number): number;
  readonly ticks: readonly number[];
}

export interface ScaleOptions {
  /** Every step on the axis is a factor. Values must be positive. */
  readonly logarithmic: boolean;
  /** A linear axis begins at 0. */
  readonly fromZero?: boolean;
}

/** An axis that shows all `values` on the pixels from `first` to `last`. */
export function scaleFor(
  values: readonly number[],
  first: number,
  last: number,
  { logarithmic, fromZero = false }: ScaleOptions,
): Scale {
  const least = Math.min(...values);
  const most = Math.max(...values);
  return logarithmic ? powers(least, most, first, last) : lines(fromZero ? 0 : least, most, first, last);
}

function lines(least: number, most: number, first: number, last: number): Scale {
  const step = roundStep((most - least || Math.abs(most) || 1) / 5);
  const low = Math.floor(least / step) * step;
  const high = Math.max(low + step, Math.ceil(most / step - 1e-9) * step);
  const count = Math.round((high - low) / step);
  return {
    at: (value) => first + ((value - low) / (high - low)) * (last - first),
    ticks: Array.from({ length: count + 1 }, (_, index) => low + index * step),
  };
}

/** 1, 2 or 5 times a power of ten, at least as large as asked. */
function roundStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step));
  return power * ([1, 2, 5, 10].find((factor) => factor * power >= step * (1 - 1e-9)) ?? 10);
}

/** Ticks are powers of two, of four where those would be many, and of ten where there would be many of these or numbers are large. */
function powers(least: number, most: number, first: number, last: number): Scale {
  const range = most / least;
  const base = range > 2000 || most > 1e5 ? 10 : range > 100 ? 4 : 2;
  const exponent = (value: number) => Math.log(value) / Math.log(base);
  const low = Math.floor(exponent(least) + 1e-9);
  const high = Math.max(low + 1, Math.ceil(exponent(most) - 1e-9));
  return {
    at: (value) => first + ((exponent(value) - low) / (high - low)) * (last - first),
    ticks: Array.from({ length: high - low + 1 }, (_, index) => base ** (low + index)),
  };
}
