/** PHD02xx: values of the wrong type, tensors of the wrong shape, statements in the wrong place. */
import { defineDiagnostics } from "./define.js";

/** What to write in a relation instead of a function. */
const functionHints: Readonly<Record<string, string>> = {
  abs: "`abs(a) <= c` is `a <= c and -a <= c`.",
  max: "`max(a, b) <= c` is `a <= c and b <= c`; `max(a, b) >= c` is `a >= c or b >= c`.",
  min: "`min(a, b) <= c` is `a <= c or b <= c`; `min(a, b) >= c` is `a >= c and b >= c`.",
  floor: "Coordinates are integers: `a div c` rounds down.",
  ceil: "Coordinates are integers: `(a + c - 1) div c` rounds up.",
};

export const shapeDiagnostics = defineDiagnostics({
  wrongType: {
    code: "PHD0201",
    title: "A value of the wrong type",
    explanation:
      "Tensors, integers, real numbers, strings, truth values, tokens and conditions on tokens are different things, and each place takes one of them.",
    example: "silu(4)",
    message: (d: { expected: string; found: string }) => `This must be ${d.expected}, and is ${d.found}`,
  },
  wrongOperand: {
    code: "PHD0202",
    title: "An operator that does not work on these values",
    explanation:
      "Arithmetic works on numbers, on tensors of one shape (or a tensor and a vector over its last dimension), on a tensor and a number, and in relations on integers that depend on tokens. Logic works on conditions. Matrix products are written `linear(x, w)`.",
    example: "let y = x / x",
    message: (d: { operator: string; left: string; right?: string; hint?: string }) =>
      `\`${d.operator}\` does not work on ${d.left}${d.right === undefined ? "" : ` and ${d.right}`}`,
    hint: (d) => d.hint,
  },
  shapesDiffer: {
    code: "PHD0203",
    title: "Tensors whose shapes do not fit",
    explanation:
      "The two shapes must be equal in the model's own words: as polynomials in its parameters, or by an equation that a `require` states.",
    example: 'x + linear(x, weight "up" [ffn, dim])',
    message: (d: { what: string; expected: string; found: string }) =>
      `${d.what}: expected ${d.expected}, and found ${d.found}`,
  },
  equalByAccident: {
    code: "PHD0204",
    title: "Sizes that are equal only for these parameters",
    explanation:
      "Two sizes have the same value under the parameters given, but nothing says that they always do: with other parameters (`--set`) the model would break. State the equation, and the checker will use it.",
    example: "param dim = 128, heads = 4, head_dim = 32   // dim and heads * head_dim are both 128",
    message: (d: { left: string; right: string; value: number }) =>
      `\`${d.left}\` and \`${d.right}\` are both ${d.value} here, but nothing says that they are always equal`,
    hint: (d) => `If they are, add \`require ${d.left} == ${d.right}\` to the model.`,
  },
  axesMix: {
    code: "PHD0205",
    title: "Positions and tokens mixed",
    explanation:
      "A tensor over positions has one row per position, a tensor over tokens K rows per position. They do not mix. `repeat(x)` turns positions into tokens; `predict copy K: …` turns tokens back into positions.",
    example: "embed(ids, table) + repeat(embed(ids, table))",
    message: (d: { what: string; expected: string; found: string }) =>
      `${d.what}: expected a tensor over ${d.expected}, and found one over ${d.found}`,
    hint: (d) => (d.expected === "tokens" ? "`repeat(x)` turns positions into tokens." : undefined),
  },
  wrongRank: {
    code: "PHD0206",
    title: "A tensor with too few or too many dimensions",
    explanation:
      "Each builtin says how many dimensions its arguments have: `split` makes heads out of [rows, width], `merge` undoes it.",
    example: "attention(q, k, v)   // without split(…, heads)",
    message: (d: { what: string; expected: string; found: string }) =>
      `${d.what} must be ${d.expected}, and is ${d.found}`,
    hint: (d) => (d.expected.includes("heads") ? "`split(x, heads)` makes heads." : undefined),
  },
  notDivisible: {
    code: "PHD0207",
    title: "A width that does not divide evenly",
    explanation:
      "`split(x, heads)` needs a last dimension that is `heads` times something, attention needs query heads that are a multiple of the key heads, and `rope` an even head width.",
    example: "split(q, 3)   // q is [tokens, 128]",
    message: (d: { what: string; size: string; value: number; divisor: string }) =>
      `${d.what}: ${d.size === String(d.value) ? d.size : `\`${d.size}\` (${d.value})`} is not a multiple of ${d.divisor}`,
  },
  dependsOnLayer: {
    code: "PHD0208",
    title: "A number that differs from layer to layer",
    explanation:
      "Layers stay a loop: all layers of one kind share one body. What differs must be chosen with `if` on the layer index, so that there are few kinds of layers; an index may otherwise appear only in tensor names.",
    example: "attend q -> k when phd_swa(q, k, 4 * l)",
    message: (d: { what: string }) => `${d.what} cannot be computed from the layer index`,
    hint: () => "Choose between constants: `if l mod 4 == 3 { 64 } else { 16 }`.",
  },
  unsuitableCondition: {
    code: "PHD0209",
    title: "A condition that is not known when the model is compiled",
    explanation:
      "`if` chooses by parameters and by the layer index. It cannot ask about tensors or about tokens; inside a relation, `and` and `or` do that.",
    example: "attend q -> k when if q.copy > 1 { recent(q, k, W) } else { original(q, k) }",
    message: (d: { found: string }) =>
      `The condition of \`if\` must depend on parameters and the layer only, and this is ${d.found}`,
    hint: (d) => (d.found.includes("token") ? "In a relation write `c and a or not c and b`." : undefined),
  },
  forwardSignature: {
    code: "PHD0210",
    title: "A `forward` of another form",
    explanation:
      "`forward` takes the ids of one sequence, `[positions] int`, and gives one row of logits per position, `[positions, vocab]`.",
    example: "forward(x: [positions, dim]) -> [tokens, vocab] { … }",
    message: (d: { what: string; expected: string; found: string }) =>
      `${d.what} of \`forward\` must be ${d.expected}, and is ${d.found}`,
  },
  missingPart: {
    code: "PHD0211",
    title: "A model without a part that it needs",
    explanation:
      "A model needs `forward`; attention needs to be told who sees whom with `attend`, `rope` by which index to turn with `rotate`, and a model that repeats needs `predict copy …` as its last statement.",
    example: "model Tiny { param layers = 1 }",
    message: (d: { what: string; why: string }) => `There is no \`${d.what}\`${d.why === "" ? "" : `, ${d.why}`}`,
    hint: (d: { what: string; why: string; hint?: string }) => d.hint,
  },
  misplacedStatement: {
    code: "PHD0212",
    title: "A statement in the wrong place",
    explanation:
      "`return` ends a function, and `predict copy …` ends `forward`: nothing follows them, and they do not stand inside the layer loop. `if` may hold them when every branch has one. There is one layer loop, and loops do not nest.",
    example: "forward(ids: [positions] int) -> [positions, vocab] { return x }",
    message: (d: { what: string }) => d.what,
    hint: (d: { what: string; hint?: string }) => d.hint,
  },
  variableChangesType: {
    code: "PHD0213",
    title: "A variable that changes its type",
    explanation: "A `var` keeps the type and shape it was declared with; layers pass it on to each other.",
    example: "var x = embed(ids, table)\nx = split(x, heads)",
    message: (d: { name: string; before: string; after: string }) =>
      `\`${d.name}\` is ${d.before} and cannot become ${d.after}`,
    hint: () => "Name the new value with `let`.",
  },
  weightShapes: {
    code: "PHD0214",
    title: "One tensor with two shapes",
    explanation: "The same tensor of the checkpoint is declared with different shapes.",
    example: 'weight "lm_head" [vocab, dim] … weight "lm_head" [dim, vocab]',
    message: (d: { tensor: string; first: string; second: string }) =>
      `The tensor \`${d.tensor}\` is declared both ${d.first} and ${d.second}`,
  },
  nonLinear: {
    code: "PHD0215",
    title: "A product of two coordinates",
    explanation:
      "Relations are linear in the coordinates of the two tokens: the compiler derives from them which keys to keep and which rows to compute, exactly. One factor of a product must be an integer that does not depend on tokens.",
    example: "rule near(q, k) = q.pos * q.copy - k.pos * k.copy <= 16",
    message: (d: { left: string; right: string }) =>
      `\`${d.left} * ${d.right}\` multiplies two numbers that depend on tokens`,
    hint: () =>
      "Multiply by an integer or a parameter. The place in stream order, for instance, is `t.pos * K + t.copy - 1`.",
  },
  divisorDependsOnToken: {
    code: "PHD0216",
    title: "A division by something that depends on tokens",
    explanation: "In a relation `div` and `mod` divide by a positive integer that does not depend on tokens.",
    example: "rule same(q, k) = q.pos div q.copy == k.pos div k.copy",
    message: (d: { operator: string; divisor: string }) =>
      `\`${d.operator}\` divides by \`${d.divisor}\`, which depends on a token`,
    hint: () => "Divide by an integer or a parameter, as in `q.pos div C`.",
  },
  rotationMixes: {
    code: "PHD0217",
    title: "A rotation index that mixes position and copy",
    explanation:
      "The rotation index must be a sum of a part that depends on `t.pos` and a part that depends on `t.copy`, so that one table of angles for each suffices.",
    example: "rotate t by (t.pos * 2 + t.copy) div 3",
    message: (d: { operator: string }) =>
      `The index of a rotation applies \`${d.operator}\` to position and copy together`,
    hint: () => "Write a sum of a part in `t.pos` and a part in `t.copy`, such as `t.pos * K + t.copy - 1`.",
  },
  modelTooLarge: {
    code: "PHD0218",
    title: "A text that expands beyond all bounds",
    explanation:
      "Functions and rules are expanded where they are used. Definitions that call each other several times can grow without bound; beyond the limit the compiler stops.",
    example: "rule b(q, k) = a(q, k) or a(q, k)   // and thirty more like it",
    message: (d: { what: string; limit: number }) => `${d.what} expands to more than ${d.limit} parts`,
    hint: () => "Simplify the definitions, so that they are not expanded over and over.",
  },
  relationUsesReal: {
    code: "PHD0219",
    title: "A relation over something else than integers",
    explanation: "Coordinates are integers, and relations compare integer terms. Division is `div`, rounding down.",
    example: "rule near(q, k) = q.pos - k.pos <= 1.5",
    message: (d: { operator: string; found: string }) => `\`${d.operator}\` mixes a token's coordinate with ${d.found}`,
    hint: (d) =>
      d.operator === "/" ? "Write `div`, which rounds down." : "Relations take integers and integer parameters.",
  },
  functionOfToken: {
    code: "PHD0223",
    title: "A function of something that depends on tokens",
    explanation:
      "Relations are made of sums, multiples, `div` and `mod` of coordinates. Functions such as `max` work on numbers that are known when the model is compiled. What most of them are wanted for can be said with `and` and `or`.",
    example: "rule near(q, k) = abs(q.pos - k.pos) <= 4",
    message: (d: { text: string; name: string; argument: string }) =>
      `\`${d.text}\` applies \`${d.name}\` to \`${d.argument}\`, which depends on tokens`,
    hint: (d) => functionHints[d.name] ?? "Write it with sums, multiples, `div` and `mod` of coordinates.",
  },
  tooManyErrors: {
    code: "PHD0222",
    title: "Too many errors in a model",
    explanation: "After this many reports the check stops. What is left mostly follows from the first mistakes.",
    example: "a model with a hundred misspelled names",
    message: (d: { limit: number }) => `The check stopped after ${d.limit} reports`,
    hint: () => "Repair the first ones, and check again.",
  },
  weightArithmetic: {
    code: "PHD0220",
    title: "Arithmetic on weights alone",
    explanation:
      'Weights stay as the checkpoint holds them. A vector may be changed elementwise (`1 + weight "norm" [dim]`), because what uses it applies the change to every row. Anything else, such as a scaled matrix, would have to be computed before the model runs.',
    example: 'linear(x, weight "proj" [dim, dim] * 0.5)',
    message: () => "This works on weights alone, and would have to be computed before the model runs",
    hint: () => "Change what comes out of `linear` or `embed` instead.",
  },
  productOverHeads: {
    code: "PHD0221",
    title: "A product over single heads",
    explanation:
      "`linear` multiplies whole rows [tokens, width]. Applied to heads it would multiply each head by the same small matrix, for which there are no kernels.",
    example: 'linear(split(x, heads), weight "proj" [head_dim, head_dim])',
    message: () => "`linear` works on rows, not on single heads",
    hint: () => "`merge` the heads first.",
  },
});
