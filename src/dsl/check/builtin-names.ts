/** The names that the language itself gives a meaning; nothing else may be defined under them. */

const tensorBuiltins = [
  "embed",
  "repeat",
  "linear",
  "rms_norm",
  "rope",
  "split",
  "merge",
  "attention",
  "silu",
  "gelu",
  "relu",
  "sigmoid",
  "tanh",
] as const;

export const scalarBuiltins = ["sqrt", "exp", "log", "sin", "cos", "abs", "floor", "ceil", "min", "max"] as const;

export type TensorBuiltin = (typeof tensorBuiltins)[number];
export type ScalarBuiltin = (typeof scalarBuiltins)[number];

export const builtinNames: ReadonlySet<string> = new Set<string>([...tensorBuiltins, ...scalarBuiltins]);
