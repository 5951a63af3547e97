/**
 * The syntax tree of a `.phd` file: plain readonly objects in unions on `kind`, each with the span it was read from.
 *
 * There is one expression type for tensors, scalars and predicates. What an expression may be depends on where it stands; the
 * checker decides, and can then say "a predicate belongs here" where a grammar could only say "unexpected token".
 */
import type { SourceFile, Span } from "../../source/source-file.js";

interface NodeBase {
  readonly span: Span;
}

/** A name where it is declared or used. */
export interface Name extends NodeBase {
  readonly text: string;
}

// ── Expressions ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface IntegerLiteral extends NodeBase {
  readonly kind: "integer";
  readonly value: number;
}

export interface RealLiteral extends NodeBase {
  readonly kind: "real";
  readonly value: number;
}

export interface StringLiteral extends NodeBase {
  readonly kind: "string";
  readonly value: string;
}

export interface BooleanLiteral extends NodeBase {
  readonly kind: "boolean";
  readonly value: boolean;
}

export interface NameReference extends NodeBase {
  readonly kind: "name";
  readonly text: string;
}

/** `q.pos`, `t.copy`. */
export interface Member extends NodeBase {
  readonly kind: "member";
  readonly object: Name;
  readonly member: Name;
}

export interface Argument extends NodeBase {
  /** Set for `eps = 1e-6`. */
  readonly name?: Name;
  readonly value: Expression;
}

export interface Call extends NodeBase {
  readonly kind: "call";
  readonly callee: Name;
  readonly args: readonly Argument[];
}

/**
 * A tensor of the checkpoint. `weight "a" [n]` is the tensor `a.weight`, `bias "a" [n]` is `a.bias`, and `tensor "a" [n]` is `a`
 * itself; the prefixes of the enclosing `within` stand in front.
 */
export interface WeightReference extends NodeBase {
  readonly kind: "weight";
  readonly form: "weight" | "bias" | "tensor";
  /** May hold `{name}` placeholders. */
  readonly template: StringLiteral;
  readonly shape: readonly Expression[];
}

export type UnaryOperator = "-" | "not";

export interface Unary extends NodeBase {
  readonly kind: "unary";
  readonly operator: UnaryOperator;
  readonly operand: Expression;
}

export type ArithmeticOperator = "+" | "-" | "*" | "/" | "div" | "mod" | "^";
export type ComparisonOperator = "==" | "!=" | "<" | "<=" | ">" | ">=";
export type BinaryOperator = ArithmeticOperator | ComparisonOperator | "and" | "or";

export interface Binary extends NodeBase {
  readonly kind: "binary";
  readonly operator: BinaryOperator;
  readonly operatorSpan: Span;
  readonly left: Expression;
  readonly right: Expression;
}

/** `if c { a } else { b }` as a value. The condition is a scalar: it may ask about parameters and the layer index. */
export interface Conditional extends NodeBase {
  readonly kind: "conditional";
  readonly condition: Expression;
  readonly whenTrue: Expression;
  readonly whenFalse: Expression;
}

export type Expression =
  | IntegerLiteral
  | RealLiteral
  | StringLiteral
  | BooleanLiteral
  | NameReference
  | Member
  | Call
  | WeightReference
  | Unary
  | Binary
  | Conditional;

// ── Types ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface ScalarTypeNode extends NodeBase {
  readonly kind: "scalar-type";
  readonly name: "int" | "real" | "string" | "bool";
}

/** `[tokens, heads, head_dim]`, `[positions] int`. */
export interface TensorTypeNode extends NodeBase {
  readonly kind: "tensor-type";
  readonly dims: readonly Expression[];
  readonly element: "float" | "int";
}

export type TypeNode = ScalarTypeNode | TensorTypeNode;

// ── Statements ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** `let` names a value once; `var` names a value that `=` and `+=` may replace. */
export interface Declaration extends NodeBase {
  readonly kind: "declaration";
  readonly mutable: boolean;
  readonly name: Name;
  readonly type?: TypeNode;
  readonly value: Expression;
}

export interface Assignment extends NodeBase {
  readonly kind: "assignment";
  readonly name: Name;
  readonly operator: "=" | "+=";
  readonly value: Expression;
}

/** `for l in layers within "model.layers.{l}" { … }`. */
export interface LayerLoop extends NodeBase {
  readonly kind: "for";
  readonly index: Name;
  readonly count: Expression;
  readonly within?: StringLiteral;
  readonly body: Block;
}

export interface Within extends NodeBase {
  readonly kind: "within";
  readonly prefix: StringLiteral;
  readonly body: Block;
}

export interface If extends NodeBase {
  readonly kind: "if";
  /** `if` and every `else if`, in order. */
  readonly branches: readonly { readonly condition: Expression; readonly body: Block }[];
  readonly otherwise?: Block;
}

/** `attend q -> k when …`: who sees whom, from here to the end of the enclosing braces. */
export interface AttendDeclaration extends NodeBase {
  readonly kind: "attend";
  readonly query: Name;
  readonly key: Name;
  readonly predicate: Expression;
}

/** `rotate t by …, pair i at …`: the index that RoPE turns a token by, and the frequency of pair i of a head. */
export interface RotateDeclaration extends NodeBase {
  readonly kind: "rotate";
  readonly token: Name;
  readonly index: Expression;
  readonly pair?: { readonly name: Name; readonly frequency: Expression };
}

export interface Return extends NodeBase {
  readonly kind: "return";
  readonly value: Expression;
}

/** `predict copy K: …`: the logits of a position are those of its copy K. */
export interface Predict extends NodeBase {
  readonly kind: "predict";
  readonly copy: Expression;
  readonly value: Expression;
}

export type Statement =
  | Declaration
  | Assignment
  | LayerLoop
  | Within
  | If
  | AttendDeclaration
  | RotateDeclaration
  | Return
  | Predict;

export interface Block extends NodeBase {
  readonly statements: readonly Statement[];
}

// ── Definitions ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** `index hidden(t) = …` is an integer, `rule own(q, k) = …` a truth value; both are over tokens and integers. */
export interface RelationDefinition extends NodeBase {
  readonly kind: "index" | "rule";
  readonly name: Name;
  readonly params: readonly Name[];
  readonly body: Expression;
}

export interface FunctionParameter extends NodeBase {
  readonly name: Name;
  readonly type: TypeNode;
  readonly defaultValue?: Expression;
}

/** A function over tensors and scalars. */
export interface FunctionDefinition extends NodeBase {
  readonly kind: "fn";
  readonly name: Name;
  readonly params: readonly FunctionParameter[];
  readonly result: TypeNode;
  readonly body: Expression | Block;
}

export type Definition = RelationDefinition | FunctionDefinition;

export interface ParamDeclaration extends NodeBase {
  readonly kind: "param";
  readonly name: Name;
  /** A parameter without a default must be set by the user. */
  readonly defaultValue?: Expression;
}

export interface Requirement extends NodeBase {
  readonly kind: "require";
  readonly condition: Expression;
}

export interface RepeatDeclaration extends NodeBase {
  readonly kind: "repeat";
  readonly copies: Expression;
}

export interface Forward extends NodeBase {
  readonly kind: "forward";
  readonly input: Name;
  readonly inputType: TypeNode;
  readonly result: TypeNode;
  readonly body: Block;
}

export type ModelItem =
  | ParamDeclaration
  | Requirement
  | RepeatDeclaration
  | AttendDeclaration
  | RotateDeclaration
  | Forward
  | RelationDefinition;

export interface ModelDeclaration extends NodeBase {
  readonly kind: "model";
  readonly name: Name;
  readonly items: readonly ModelItem[];
}

/** `use std.phd`. */
export interface Use extends NodeBase {
  readonly path: string;
}

export interface Comment extends NodeBase {
  /** With its slashes. */
  readonly text: string;
}

export interface FileNode extends NodeBase {
  readonly file: SourceFile;
  readonly uses: readonly Use[];
  readonly definitions: readonly Definition[];
  readonly models: readonly ModelDeclaration[];
  /** All comments, in order; they carry no meaning. */
  readonly comments: readonly Comment[];
}
