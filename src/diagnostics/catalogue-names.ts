/** PHD01xx: names that mean nothing, mean two things, or mean themselves. */
import { defineDiagnostics } from "./define.js";

const didYouMean = (nearest: string | undefined, otherwise?: string) =>
  nearest === undefined ? otherwise : `Did you mean \`${nearest}\`?`;

export const nameDiagnostics = defineDiagnostics({
  unknownName: {
    code: "PHD0101",
    title: "A name that means nothing here",
    explanation:
      "A value is a parameter of the model, a `let` or `var` of an enclosing block, a parameter of the function or rule, `K` (the repeat count), `pi`, or one of the axes `tokens` and `positions`. Names hold from where they are declared to the end of the enclosing braces; functions and rules see their own parameters only.",
    example: 'let h = rms_norm(y, weight "norm" [dim])   // y is nowhere declared',
    message: (d: { name: string; nearest?: string; assigned?: boolean }) =>
      `There is nothing called \`${d.name}\` here`,
    hint: (d) =>
      didYouMean(d.nearest) ??
      (d.assigned ? `A new name is declared with \`let ${d.name} = …\` or \`var\`.` : undefined),
  },
  unknownFunction: {
    code: "PHD0102",
    title: "A call of something that does not exist",
    explanation:
      "What is called must be a builtin, or an `fn`, `index` or `rule` of this file or of a library that the file names with `use`.",
    example: "attend q -> k when phd_csva(q, k, W, C)",
    message: (d: { name: string; nearest?: string; library?: string }) =>
      `There is no function, index or rule called \`${d.name}\``,
    hint: (d) =>
      d.library === undefined
        ? didYouMean(d.nearest)
        : `It is in a library: add \`use ${d.library}\` at the top of the file.`,
  },
  definedTwice: {
    code: "PHD0103",
    title: "A name that is declared twice",
    explanation:
      "Within one file, one model or one block a name is declared once. (A block may reuse a name of an enclosing block, and a file may reuse a name of a library: the nearest one counts.)",
    example: "param dim = 64, dim = 128",
    message: (d: { name: string }) => `\`${d.name}\` is declared twice`,
    hint: () => "Give one of them another name.",
  },
  recursion: {
    code: "PHD0104",
    title: "A definition that needs itself",
    explanation:
      "Functions, indexes and rules are expanded where they are used, so none may call itself, directly or through others.",
    example: "rule own(q, k) = own(q, k) or k.pos == q.pos",
    message: (d: { name: string; path: string }) => `\`${d.name}\` calls itself${d.path}`,
  },
  unknownLibrary: {
    code: "PHD0105",
    title: "A library that does not exist",
    explanation: "`use` names a file of the library that comes with phdc: `use std.phd` is the file std/phd.phd.",
    example: "use std.phdd",
    message: (d: { path: string; nearest?: string; known: string }) => `There is no library \`${d.path}\``,
    hint: (d) => didYouMean(d.nearest, `The libraries are ${d.known}.`),
  },
  noModel: {
    code: "PHD0106",
    title: "A file without a model",
    explanation:
      "A library of rules and functions can be checked and formatted, but only a file with a `model` can be compiled.",
    example: "phdc compile std/phd.phd",
    message: (d: { file: string }) => `\`${d.file}\` declares no model`,
    hint: () => "Declare one: `model Name { … }`.",
  },
  severalModels: {
    code: "PHD0107",
    title: "A file with several models",
    explanation: "A file describes one model. Parts that models share belong into functions and rules.",
    example: "model A { … } model B { … }",
    message: () => "A file describes one model, and this is a second one",
  },
  builtinRedefined: {
    code: "PHD0108",
    title: "A builtin with a second meaning",
    explanation: "Builtins such as `linear`, `attention` and `min` keep their meaning everywhere.",
    example: "fn linear(x: [rows, dim]) -> [rows, dim] = x",
    message: (d: { name: string }) => `\`${d.name}\` is a builtin and cannot be defined again`,
  },
  notCallable: {
    code: "PHD0109",
    title: "A function used as a value, or a value called",
    explanation: "Functions, indexes and rules are called with arguments in parentheses; other names are not.",
    example: "attend q -> k when phd",
    message: (d: { name: string; isFunction: boolean }) =>
      d.isFunction ? `\`${d.name}\` must be called with arguments` : `\`${d.name}\` is a value and cannot be called`,
    hint: (d) => (d.isFunction ? `Write \`${d.name}(…)\`.` : undefined),
  },
  unknownMember: {
    code: "PHD0110",
    title: "A coordinate that tokens do not have",
    explanation:
      "A token has two coordinates: `pos`, its position counted from 0, and `copy`, counted from 1 (the original) to K.",
    example: "rule own(q, k) = q.position == k.position",
    message: (d: { member: string; nearest?: string }) => `A token has no \`${d.member}\``,
    hint: (d) => didYouMean(d.nearest, "Its coordinates are `pos` and `copy`."),
  },
  noMembers: {
    code: "PHD0111",
    title: "A coordinate of something that is no token",
    explanation:
      "Only tokens have coordinates: the two names of `attend q -> k`, the name of `rotate t`, and what they are passed on as.",
    example: "rule near(q, k, W) = q.pos - k.pos <= W.pos",
    message: (d: { name: string; kind: string }) => `\`${d.name}\` is ${d.kind} and has no coordinates`,
  },
  unknownArgument: {
    code: "PHD0112",
    title: "An argument that the function does not take",
    explanation:
      "Arguments are given in order, or by name. Named arguments must be parameters of what is called, each given once.",
    example: "rms_norm(x, w, epsilon = 1e-6)",
    message: (d: { callee: string; name: string; nearest?: string; params: string }) =>
      `\`${d.callee}\` takes no argument \`${d.name}\``,
    hint: (d) => didYouMean(d.nearest, `It takes ${d.params}.`),
  },
  argumentTwice: {
    code: "PHD0113",
    title: "An argument that is given twice",
    explanation:
      "An argument that is given in order cannot be given by name as well, and arguments in order stand before named ones.",
    example: "split(q, heads, heads = 4)",
    message: (d: { callee: string; name: string }) => `\`${d.callee}\` gets \`${d.name}\` twice`,
  },
  missingArgument: {
    code: "PHD0114",
    title: "An argument that is missing",
    explanation: "Every parameter without a default needs an argument.",
    example: "split(q)",
    message: (d: { callee: string; name: string; params: string }) => `\`${d.callee}\` needs an argument \`${d.name}\``,
    hint: (d) => `It takes ${d.params}.`,
  },
  tooManyArguments: {
    code: "PHD0115",
    title: "More arguments than parameters",
    explanation: "A call gives at most as many arguments as there are parameters.",
    example: "silu(x, y)",
    message: (d: { callee: string; count: number; params: string }) =>
      `\`${d.callee}\` does not take ${d.count} arguments`,
    hint: (d) => `It takes ${d.params}.`,
  },
  notAssignable: {
    code: "PHD0116",
    title: "A value that cannot be replaced",
    explanation:
      "`let` names a value once. `var` declares a variable that `=` and `+=` may replace; so do no parameters.",
    example: "let x = embed(ids, table)\nx += y",
    message: (d: { name: string }) => `\`${d.name}\` cannot be replaced`,
    hint: (d) => `Declare it with \`var ${d.name} = …\`.`,
  },
  ambiguousName: {
    code: "PHD0117",
    title: "A name that two libraries define",
    explanation: "Two libraries that the file uses define the same name, so it is not clear which one is meant.",
    example: "use std.llama\nuse other.llama",
    message: (d: { name: string; first: string; second: string }) =>
      `\`${d.name}\` is defined in ${d.first} and in ${d.second}`,
    hint: () => "Drop one `use`, or define the name in this file.",
  },
  unknownPlaceholder: {
    code: "PHD0118",
    title: "A placeholder that cannot be filled in",
    explanation:
      "`{name}` in a tensor name stands for the layer index, an integer or a string that is known where the name stands. Braces mean nothing else there.",
    example: 'for l in layers within "model.layers.{i}" { … }',
    message: (d: { name: string; kind?: string; nearest?: string }) =>
      d.kind === undefined
        ? `There is nothing called \`${d.name}\` to fill in`
        : `\`${d.name}\` is ${d.kind} and cannot be part of a name`,
    hint: (d) => didYouMean(d.nearest),
  },
});
