/** PHD03xx: parameters, their values and the constraints on them. */
import { defineDiagnostics } from "./define.js";

export const paramDiagnostics = defineDiagnostics({
  unknownParam: {
    code: "PHD0301",
    title: "A parameter that the model does not have",
    explanation: "`--set name=value` overrides a `param` of the model.",
    example: "phdc check model.phd --set window=8   # the parameter is called W",
    message: (d: { name: string; model: string; nearest?: string; known: string }) =>
      `The model ${d.model} has no parameter \`${d.name}\``,
    hint: (d) =>
      d.nearest === undefined
        ? d.known === ""
          ? "It has no parameters."
          : `Its parameters are ${d.known}.`
        : `Did you mean \`${d.nearest}\`?`,
  },
  wrongValue: {
    code: "PHD0302",
    title: "A value of the wrong type for a parameter",
    explanation:
      'A parameter has the type of its default: `4` is an integer, `1e-5` a real number, `"llama3"` a string, `true` a truth value. A parameter without a default is an integer. An integer may stand for a real number.',
    example: "phdc check model.phd --set layers=many",
    message: (d: { name: string; expected: string; value: string }) =>
      `The parameter \`${d.name}\` is ${d.expected}, and cannot be set to \`${d.value}\``,
  },
  missingValue: {
    code: "PHD0303",
    title: "A parameter without a value",
    explanation: "A parameter that is declared without a default must be set.",
    example: "param vocab",
    message: (d: { name: string }) => `The parameter \`${d.name}\` has no value`,
    hint: (d) => `Give it a default, or pass \`--set ${d.name}=…\`.`,
  },
  requirementFails: {
    code: "PHD0304",
    title: "A requirement that does not hold",
    explanation: "`require` states what must hold of the parameters. With the values given, it does not.",
    example: "param heads = 4, kv_heads = 3\nrequire heads mod kv_heads == 0",
    message: (d: { condition: string; values: string }) =>
      `The requirement \`${d.condition}\` does not hold${d.values === "" ? "" : ` with ${d.values}`}`,
  },
  numberTooLarge: {
    code: "PHD0305",
    title: "A number that is too large",
    explanation: "Integers are exact up to 2^53 - 1, and real numbers must be finite.",
    example: "param vocab = 1000000000 \nlet n = vocab * vocab",
    message: (d: { text: string; values?: string }) =>
      d.values === undefined
        ? `\`${d.text}\` is too large a number`
        : `\`${d.text}\` is ${d.values} here, which is no finite number`,
  },
  outOfRange: {
    code: "PHD0306",
    title: "A number outside its range",
    explanation:
      "Layers, copies, sizes, heads and the numbers of a relation have a smallest and a largest value. The largest ones are far beyond any model, and keep what the compiler does bounded.",
    example: "phdc check model.phd --set layers=1000000000",
    message: (d: { what: string; value: number; least: number; most: number; hint?: string }) =>
      `${d.what} must be from ${d.least} to ${d.most}, and not ${d.value}`,
    hint: (d) => d.hint,
  },
  divisionByZero: {
    code: "PHD0307",
    title: "Division by zero",
    explanation: "`/`, `div` and `mod` need a divisor that is not zero; `div` and `mod` a positive one.",
    example: "param heads = 0, head_dim = dim div heads",
    message: (d: { operator: string; value: number }) =>
      d.value === 0
        ? `\`${d.operator}\` by zero`
        : `\`${d.operator}\` needs a positive divisor, and this is ${d.value}`,
    hint: (d) =>
      d.value < 0 && d.operator === "mod"
        ? `Remainders are never negative: \`x mod ${-d.value}\` says the same of every x.`
        : d.value < 0
          ? `\`x ${d.operator} ${d.value}\` is \`-x ${d.operator} ${-d.value}\`.`
          : undefined,
  },
  repeatCountName: {
    code: "PHD0308",
    title: "A parameter K that is not the repeat count",
    explanation:
      "`K` is the repeat count in every rule and index, those of the library included. A model may have a parameter of that name only if it is what `repeat` repeats by.",
    example: "param K = 3\nrepeat 2",
    message: (d: { parameter: number; copies: number }) =>
      `\`K\` is the repeat count, ${d.copies} here, but the parameter \`K\` is ${d.parameter}`,
    hint: () => "Write `repeat K` in the model, or rename the parameter.",
  },
  declaredTwice: {
    code: "PHD0309",
    title: "A statement that a model makes once",
    explanation:
      "A model has one `repeat`, one `attend`, one `rotate` and one `forward`. Layers may have their own `attend` and `rotate`, inside the layer loop.",
    example: "repeat 2\nrepeat 3",
    message: (d: { what: string }) => `The model already has a \`${d.what}\``,
    hint: (d) =>
      d.what === "attend" || d.what === "rotate" ? "For some layers only, write it inside the layer loop." : undefined,
  },
});
