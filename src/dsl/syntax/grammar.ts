/**
 * The grammar, as a chevrotain parser. docs/language.md shows the same grammar on one page.
 *
 * Line breaks carry no meaning. After a syntax error the parser finds its feet at the next word that can follow, so that one run
 * reports every mistake; the tree of a file with mistakes is thrown away.
 */
import { type CstNode, CstParser, type IToken } from "chevrotain";
import { expectations } from "./expectations.js";
import * as t from "./tokens.js";

class PhdParser extends CstParser {
  constructor({ validate }: { readonly validate: boolean }) {
    super([...t.allTokens], {
      recoveryEnabled: true,
      maxLookahead: 2,
      nodeLocationTracking: "onlyOffset",
      errorMessageProvider: expectations,
      skipValidations: !validate,
    });
    this.performSelfAnalysis();
  }

  readonly file = this.RULE("file", () => {
    this.MANY(() => this.SUBRULE(this.use));
    this.MANY1(() =>
      this.OR([
        { ALT: () => this.SUBRULE(this.relationDefinition) },
        { ALT: () => this.SUBRULE(this.functionDefinition) },
        { ALT: () => this.SUBRULE(this.model) },
      ]),
    );
  });

  private readonly use = this.RULE("use", () => {
    this.CONSUME(t.Use);
    this.CONSUME(t.Name);
    this.MANY(() => {
      this.CONSUME(t.Dot);
      this.CONSUME1(t.Name);
    });
  });

  // ── Definitions ────────────────────────────────────────────────────────────────────────────────────────────────────────

  private readonly relationDefinition = this.RULE("relationDefinition", () => {
    this.OR([{ ALT: () => this.CONSUME(t.Index) }, { ALT: () => this.CONSUME(t.Rule) }]);
    this.CONSUME(t.Name);
    this.CONSUME(t.LeftParen);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => this.CONSUME1(t.Name) });
    this.CONSUME(t.RightParen);
    this.CONSUME(t.Assign);
    this.SUBRULE(this.expression);
  });

  private readonly functionDefinition = this.RULE("functionDefinition", () => {
    this.CONSUME(t.Fn);
    this.CONSUME(t.Name);
    this.CONSUME(t.LeftParen);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.parameter) });
    this.CONSUME(t.RightParen);
    this.CONSUME(t.Arrow);
    this.SUBRULE(this.type);
    this.OR([
      {
        ALT: () => {
          this.CONSUME(t.Assign);
          this.SUBRULE(this.expression);
        },
      },
      { ALT: () => this.SUBRULE(this.block) },
    ]);
  });

  private readonly parameter = this.RULE("parameter", () => {
    this.CONSUME(t.Name);
    this.CONSUME(t.Colon);
    this.SUBRULE(this.type);
    this.OPTION(() => {
      this.CONSUME(t.Assign);
      this.SUBRULE(this.expression);
    });
  });

  private readonly type = this.RULE("type", () => {
    this.OR([
      { ALT: () => this.CONSUME(t.IntType) },
      { ALT: () => this.CONSUME(t.RealType) },
      { ALT: () => this.CONSUME(t.StringType) },
      { ALT: () => this.CONSUME(t.BoolType) },
      {
        ALT: () => {
          this.SUBRULE(this.dims);
          this.OPTION(() => this.CONSUME1(t.IntType));
        },
      },
    ]);
  });

  private readonly dims = this.RULE("dims", () => {
    this.CONSUME(t.LeftBracket);
    this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.expression) });
    this.CONSUME(t.RightBracket);
  });

  // ── Models ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

  private readonly model = this.RULE("model", () => {
    this.CONSUME(t.Model);
    this.CONSUME(t.Name);
    this.CONSUME(t.LeftBrace);
    this.MANY(() => this.SUBRULE(this.modelItem));
    this.CONSUME(t.RightBrace);
  });

  private readonly modelItem = this.RULE("modelItem", () => {
    this.OR([
      { ALT: () => this.SUBRULE(this.params) },
      { ALT: () => this.SUBRULE(this.requirements) },
      { ALT: () => this.SUBRULE(this.repeat) },
      { ALT: () => this.SUBRULE(this.attend) },
      { ALT: () => this.SUBRULE(this.rotate) },
      { ALT: () => this.SUBRULE(this.relationDefinition) },
      { ALT: () => this.SUBRULE(this.forward) },
    ]);
  });

  private readonly params = this.RULE("params", () => {
    this.CONSUME(t.Param);
    this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.param) });
  });

  private readonly param = this.RULE("param", () => {
    this.CONSUME(t.Name);
    this.OPTION(() => {
      this.CONSUME(t.Assign);
      this.SUBRULE(this.expression);
    });
  });

  private readonly requirements = this.RULE("requirements", () => {
    this.CONSUME(t.Require);
    this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.expression) });
  });

  private readonly repeat = this.RULE("repeat", () => {
    this.CONSUME(t.Repeat);
    this.SUBRULE(this.expression);
  });

  private readonly attend = this.RULE("attend", () => {
    this.CONSUME(t.Attend);
    this.CONSUME(t.Name);
    this.CONSUME(t.Arrow);
    this.CONSUME1(t.Name);
    this.CONSUME(t.When);
    this.SUBRULE(this.expression);
  });

  private readonly rotate = this.RULE("rotate", () => {
    this.CONSUME(t.Rotate);
    this.CONSUME(t.Name);
    this.CONSUME(t.By);
    this.SUBRULE(this.expression);
    this.OPTION(() => {
      this.CONSUME(t.Comma);
      this.CONSUME(t.Pair);
      this.CONSUME1(t.Name);
      this.CONSUME(t.At);
      this.SUBRULE1(this.expression);
    });
  });

  private readonly forward = this.RULE("forward", () => {
    this.CONSUME(t.Forward);
    this.CONSUME(t.LeftParen);
    this.CONSUME(t.Name);
    this.CONSUME(t.Colon);
    this.SUBRULE(this.type);
    this.CONSUME(t.RightParen);
    this.CONSUME(t.Arrow);
    this.SUBRULE1(this.type);
    this.SUBRULE(this.block);
  });

  // ── Statements ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  private readonly block = this.RULE("block", () => {
    this.CONSUME(t.LeftBrace);
    this.MANY(() => this.SUBRULE(this.statement));
    this.CONSUME(t.RightBrace);
  });

  private readonly statement = this.RULE("statement", () => {
    this.OR([
      { ALT: () => this.SUBRULE(this.declaration) },
      { ALT: () => this.SUBRULE(this.assignment) },
      { ALT: () => this.SUBRULE(this.layerLoop) },
      { ALT: () => this.SUBRULE(this.within) },
      { ALT: () => this.SUBRULE(this.ifStatement) },
      { ALT: () => this.SUBRULE(this.attend) },
      { ALT: () => this.SUBRULE(this.rotate) },
      { ALT: () => this.SUBRULE(this.returnStatement) },
      { ALT: () => this.SUBRULE(this.predict) },
    ]);
  });

  private readonly declaration = this.RULE("declaration", () => {
    this.OR([{ ALT: () => this.CONSUME(t.Let) }, { ALT: () => this.CONSUME(t.Var) }]);
    this.CONSUME(t.Name);
    this.OPTION(() => {
      this.CONSUME(t.Colon);
      this.SUBRULE(this.type);
    });
    this.CONSUME(t.Assign);
    this.SUBRULE(this.expression);
  });

  private readonly assignment = this.RULE("assignment", () => {
    this.CONSUME(t.Name);
    this.OR([{ ALT: () => this.CONSUME(t.Assign) }, { ALT: () => this.CONSUME(t.PlusAssign) }]);
    this.SUBRULE(this.expression);
  });

  private readonly layerLoop = this.RULE("layerLoop", () => {
    this.CONSUME(t.For);
    this.CONSUME(t.Name);
    this.CONSUME(t.In);
    this.SUBRULE(this.expression);
    this.OPTION(() => {
      this.CONSUME(t.Within);
      this.CONSUME(t.Text);
    });
    this.SUBRULE(this.block);
  });

  private readonly within = this.RULE("within", () => {
    this.CONSUME(t.Within);
    this.CONSUME(t.Text);
    this.SUBRULE(this.block);
  });

  private readonly ifStatement = this.RULE("ifStatement", () => {
    this.CONSUME(t.If);
    this.SUBRULE(this.expression);
    this.SUBRULE(this.block);
    this.MANY(() => {
      this.CONSUME(t.Else);
      this.CONSUME1(t.If);
      this.SUBRULE1(this.expression);
      this.SUBRULE1(this.block);
    });
    this.OPTION(() => {
      this.CONSUME1(t.Else);
      this.SUBRULE2(this.block);
    });
  });

  private readonly returnStatement = this.RULE("returnStatement", () => {
    this.CONSUME(t.Return);
    this.SUBRULE(this.expression);
  });

  private readonly predict = this.RULE("predict", () => {
    this.CONSUME(t.Predict);
    this.CONSUME(t.Copy);
    this.SUBRULE(this.expression);
    this.CONSUME(t.Colon);
    this.SUBRULE1(this.expression);
  });

  // ── Expressions, loosest first ─────────────────────────────────────────────────────────────────────────────────────────

  readonly expression = this.RULE("expression", () => {
    this.AT_LEAST_ONE_SEP({ SEP: t.Or, DEF: () => this.SUBRULE(this.conjunction) });
  });

  private readonly conjunction = this.RULE("conjunction", () => {
    this.AT_LEAST_ONE_SEP({ SEP: t.And, DEF: () => this.SUBRULE(this.negation) });
  });

  private readonly negation = this.RULE("negation", () => {
    this.MANY(() => this.CONSUME(t.Not));
    this.SUBRULE(this.comparison);
  });

  private readonly comparison = this.RULE("comparison", () => {
    this.SUBRULE(this.sum);
    this.OPTION(() => {
      this.OR(t.comparisons.map((token) => ({ ALT: () => this.CONSUME(token) })));
      this.SUBRULE1(this.sum);
    });
  });

  private readonly sum = this.RULE("sum", () => {
    this.SUBRULE(this.product);
    this.MANY(() => {
      this.OR([{ ALT: () => this.CONSUME(t.Plus) }, { ALT: () => this.CONSUME(t.Minus) }]);
      this.SUBRULE1(this.product);
    });
  });

  private readonly product = this.RULE("product", () => {
    this.SUBRULE(this.unary);
    this.MANY(() => {
      this.OR([
        { ALT: () => this.CONSUME(t.Times) },
        { ALT: () => this.CONSUME(t.Slash) },
        { ALT: () => this.CONSUME(t.Div) },
        { ALT: () => this.CONSUME(t.Mod) },
      ]);
      this.SUBRULE1(this.unary);
    });
  });

  private readonly unary = this.RULE("unary", () => {
    this.MANY(() => this.CONSUME(t.Minus));
    this.SUBRULE(this.power);
  });

  private readonly power = this.RULE("power", () => {
    this.SUBRULE(this.primary);
    // A power does not chain: `a ^ b ^ c` has no reading that everyone expects, and without it only brackets nest.
    this.OPTION(() => {
      this.CONSUME(t.Caret);
      this.MANY(() => this.CONSUME(t.Minus));
      this.SUBRULE1(this.primary);
    });
  });

  private readonly primary = this.RULE("primary", () => {
    this.OR([
      { ALT: () => this.SUBRULE(this.weight) },
      { ALT: () => this.SUBRULE(this.nameOrCall) },
      { ALT: () => this.CONSUME(t.Integer) },
      { ALT: () => this.CONSUME(t.Decimal) },
      { ALT: () => this.CONSUME(t.Text) },
      { ALT: () => this.CONSUME(t.True) },
      { ALT: () => this.CONSUME(t.False) },
      { ALT: () => this.SUBRULE(this.conditional) },
      {
        ALT: () => {
          this.CONSUME(t.LeftParen);
          this.SUBRULE(this.expression);
          this.CONSUME(t.RightParen);
        },
      },
    ]);
  });

  private readonly weight = this.RULE("weight", () => {
    this.OR([
      { ALT: () => this.CONSUME(t.Weight) },
      { ALT: () => this.CONSUME(t.Bias) },
      { ALT: () => this.CONSUME(t.Tensor) },
    ]);
    this.CONSUME(t.Text);
    this.SUBRULE(this.dims);
  });

  private readonly nameOrCall = this.RULE("nameOrCall", () => {
    this.CONSUME(t.Name);
    this.OPTION(() =>
      this.OR([
        {
          ALT: () => {
            this.CONSUME(t.Dot);
            this.CONSUME1(t.Name);
          },
        },
        {
          ALT: () => {
            this.CONSUME(t.LeftParen);
            this.MANY_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.argument) });
            this.CONSUME(t.RightParen);
          },
        },
      ]),
    );
  });

  private readonly argument = this.RULE("argument", () => {
    this.OPTION(() => {
      this.CONSUME(t.Name);
      this.CONSUME(t.Assign);
    });
    this.SUBRULE(this.expression);
  });

  private readonly conditional = this.RULE("conditional", () => {
    this.CONSUME(t.If);
    this.SUBRULE(this.expression);
    this.SUBRULE(this.braced);
    this.MANY(() => {
      this.CONSUME(t.Else);
      this.CONSUME1(t.If);
      this.SUBRULE1(this.expression);
      this.SUBRULE1(this.braced);
    });
    this.CONSUME1(t.Else);
    this.SUBRULE2(this.braced);
  });

  private readonly braced = this.RULE("braced", () => {
    this.CONSUME(t.LeftBrace);
    this.SUBRULE(this.expression);
    this.CONSUME(t.RightBrace);
  });
}

let parser: PhdParser | undefined;

/** Parses tokens from one of the two starting points. The parser is built once: its analysis of the grammar takes a while. */
export function parseTokens(tokens: IToken[], start: "file" | "expression") {
  parser ??= new PhdParser({ validate: false });
  parser.input = tokens;
  const tree: CstNode = parser[start]();
  return { tree, errors: parser.errors };
}

/** Throws if the grammar is ambiguous or recurses on the left. It does not change between runs, so a test asks, and no compilation. */
export function validateGrammar(): void {
  new PhdParser({ validate: true });
}
