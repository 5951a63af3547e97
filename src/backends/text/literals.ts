/** An unsigned number. From 2^31 on it is a mask or a mark, and no size or index of anything: hexadecimal shows its bits. */
export function wordText(value: number): string {
  return value >= 2 ** 31 ? `0x${value.toString(16)}u` : `${value}u`;
}

/** The shortest decimal text that reads back as the same f32 (or f16, whose values are f32 values). Always has a point or an exponent. */
export function floatText(value: number): string {
  if (Object.is(value, -0)) return "-0.0";
  let text = String(value);
  for (let digits = 1; digits <= 9; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) {
      text = String(candidate);
      break;
    }
  }
  return /[.e]/.test(text) ? text : `${text}.0`;
}
