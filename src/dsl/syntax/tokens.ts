/** The words of the language, and the lexer that finds them. */
import { createToken, Lexer, type TokenType } from "chevrotain";

/** Any name. Words that only mean something at one place (`copy`, `pair` …) are names everywhere else. */
export const Name = createToken({ name: "Name", pattern: Lexer.NA });

export const Identifier = createToken({ name: "Identifier", pattern: /[A-Za-z_][A-Za-z0-9_]*/, categories: [Name] });

/** Chevrotain wants the names of tokens to differ from those of rules, so a word's token is capitalised: `For`, `Within`. */
const capitalised = (word: string) => word[0]!.toUpperCase() + word.slice(1);

function reserved(word: string): TokenType {
  return createToken({ name: capitalised(word), pattern: word, longer_alt: Identifier });
}

function contextual(word: string): TokenType {
  return createToken({ name: capitalised(word), pattern: word, longer_alt: Identifier, categories: [Name] });
}

function symbol(name: string, pattern: string): TokenType {
  return createToken({ name, pattern });
}

export const Use = reserved("use");
export const Fn = reserved("fn");
export const Model = reserved("model");
export const Param = reserved("param");
export const Require = reserved("require");
export const Attend = reserved("attend");
export const Rotate = reserved("rotate");
export const Forward = reserved("forward");
export const Let = reserved("let");
export const Var = reserved("var");
export const For = reserved("for");
export const In = reserved("in");
export const Within = reserved("within");
export const If = reserved("if");
export const Else = reserved("else");
export const Return = reserved("return");
export const Predict = reserved("predict");
export const When = reserved("when");
export const And = reserved("and");
export const Or = reserved("or");
export const Not = reserved("not");
export const Div = reserved("div");
export const Mod = reserved("mod");
export const True = reserved("true");
export const False = reserved("false");

export const Index = contextual("index");
export const Rule = contextual("rule");
export const Repeat = contextual("repeat");
export const By = contextual("by");
export const Pair = contextual("pair");
export const At = contextual("at");
export const Copy = contextual("copy");
export const Weight = contextual("weight");
export const Bias = contextual("bias");
export const Tensor = contextual("tensor");
export const IntType = contextual("int");
export const RealType = contextual("real");
export const StringType = contextual("string");
export const BoolType = contextual("bool");

export const Decimal = createToken({ name: "Decimal", pattern: /\d+(?:\.\d+(?:[eE][+-]?\d+)?|[eE][+-]?\d+)/ });
export const Integer = createToken({ name: "Integer", pattern: /\d+/ });
export const Text = createToken({ name: "Text", pattern: /"[^"\n\r]*"/ });
/** A string whose line ends first. It is reported before parsing, and parsed as a string so that nothing else is. */
export const UnclosedText = createToken({ name: "UnclosedText", pattern: /"[^"\n\r]*/, categories: [Text] });

export const Arrow = symbol("Arrow", "->");
export const Equal = symbol("Equal", "==");
export const NotEqual = symbol("NotEqual", "!=");
export const LessEqual = symbol("LessEqual", "<=");
export const GreaterEqual = symbol("GreaterEqual", ">=");
export const Less = symbol("Less", "<");
export const Greater = symbol("Greater", ">");
export const PlusAssign = symbol("PlusAssign", "+=");
export const Assign = symbol("Assign", "=");
export const Plus = symbol("Plus", "+");
export const Minus = symbol("Minus", "-");
export const Times = symbol("Times", "*");
export const Slash = symbol("Slash", "/");
export const Caret = symbol("Caret", "^");
export const LeftParen = symbol("LeftParen", "(");
export const RightParen = symbol("RightParen", ")");
export const LeftBracket = symbol("LeftBracket", "[");
export const RightBracket = symbol("RightBracket", "]");
export const LeftBrace = symbol("LeftBrace", "{");
export const RightBrace = symbol("RightBrace", "}");
export const Comma = symbol("Comma", ",");
export const Colon = symbol("Colon", ":");
export const Dot = symbol("Dot", ".");

export const WhiteSpace = createToken({ name: "WhiteSpace", pattern: /\s+/, group: Lexer.SKIPPED, line_breaks: true });
export const CommentText = createToken({ name: "Comment", pattern: /\/\/[^\n\r]*/, group: "comments" });

export const reservedWords: readonly TokenType[] = [
  Use,
  Fn,
  Model,
  Param,
  Require,
  Attend,
  Rotate,
  Forward,
  Let,
  Var,
  For,
  In,
  Within,
  If,
  Else,
  Return,
  Predict,
  When,
  And,
  Or,
  Not,
  Div,
  Mod,
  True,
  False,
];

export const contextualWords: readonly TokenType[] = [
  Index,
  Rule,
  Repeat,
  By,
  Pair,
  At,
  Copy,
  Weight,
  Bias,
  Tensor,
  IntType,
  RealType,
  StringType,
  BoolType,
];

export const comparisons: readonly TokenType[] = [Equal, NotEqual, LessEqual, GreaterEqual, Less, Greater];

/** `int` before `in`: a word is tried before any that starts it. */
const longestFirst = (words: readonly TokenType[]) => [...words].sort((a, b) => b.name.length - a.name.length);

/** Order matters: longer symbols stand before their prefixes, words before the identifier they would match. */
export const allTokens: readonly TokenType[] = [
  WhiteSpace,
  CommentText,
  ...longestFirst([...reservedWords, ...contextualWords]),
  Identifier,
  Name,
  Decimal,
  Integer,
  Text,
  UnclosedText,
  Arrow,
  ...comparisons,
  PlusAssign,
  Assign,
  Plus,
  Minus,
  Times,
  Slash,
  Caret,
  LeftParen,
  RightParen,
  LeftBracket,
  RightBracket,
  LeftBrace,
  RightBrace,
  Comma,
  Colon,
  Dot,
];

// Only full tracking tells where a token ends, and spans need it.
const lexerOptions = { positionTracking: "full" } as const;

export const lexer = new Lexer([...allTokens], { ...lexerOptions, skipValidations: true });

/** What is wrong with the definitions of the tokens; they do not change between runs, so a test asks, and no compilation. */
export function tokenProblems(): readonly string[] {
  const { lexerDefinitionErrors } = new Lexer([...allTokens], { ...lexerOptions, deferDefinitionErrorsHandling: true });
  return lexerDefinitionErrors.map(({ message }) => message);
}

/** How a message spells a kind of token. */
export function describeTokenType(type: TokenType): string {
  switch (type) {
    case Name:
    case Identifier:
      return "a name";
    case Decimal:
      return "a number";
    case Integer:
      return "an integer";
    case Text:
      return "a string";
    default:
      return typeof type.PATTERN === "string"
        ? `\`${type.PATTERN}\``
        : type.name === "EOF"
          ? "the end of the file"
          : type.name;
  }
}
