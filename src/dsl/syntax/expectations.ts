/** What the parser expected, in words. The phrases become the `expected` of a diagnostic (see `report-syntax.ts`). */
import type { IParserErrorMessageProvider, TokenType } from "chevrotain";
import { describeTokenType } from "./tokens.js";

/** What is expected where everything is complete. */
export const endOfText = "the end of the file";

/** Rules that a reader knows by a name; where one of them cannot start, the name says more than its thirty first words. */
const ruleNames: Readonly<Record<string, string>> = {
  expression: "an expression",
  negation: "an expression",
  unary: "an expression",
  argument: "an expression",
  primary: "an expression",
  modelItem: "`param`, `require`, `repeat`, `attend`, `rotate`, `index`, `rule`, `forward` or `}`",
  statement: "a statement",
  type: "a type such as `[tokens, dim]` or `int`",
};

function list(types: readonly TokenType[]): string {
  const words = [...new Set(types.map(describeTokenType))];
  return words.length <= 1 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

export const expectations: IParserErrorMessageProvider = {
  buildMismatchTokenMessage: ({ expected }) => describeTokenType(expected),
  buildNotAllInputParsedMessage: () => endOfText,
  buildNoViableAltMessage: ({ expectedPathsPerAlt, ruleName }) =>
    ruleNames[ruleName] ?? list(expectedPathsPerAlt.flatMap((paths) => paths.flatMap((path) => path.slice(0, 1)))),
  buildEarlyExitMessage: ({ expectedIterationPaths, ruleName }) =>
    ruleNames[ruleName] ?? list(expectedIterationPaths.flatMap((path) => path.slice(0, 1))),
};
