/**
 * Smaller parameters under which a model is still the same kind of model: what a package's self-test runs.
 *
 * Every integer parameter is tried at a few smaller values. Values are taken if the model still checks, every attend relation is
 * unchanged and there are as many classes of layers as before; so requirements hold, window and chunk stay, and
 * every kind of layer is there.
 */
import { DiagnosticCollector } from "../diagnostics/diagnostic.js";
import type { Block, Expression, FileNode } from "../dsl/ast/nodes.js";
import { checkModel } from "../dsl/check/check-model.js";
import type { CheckedModel, CheckedOp, LayersOp } from "../dsl/check/checked-model.js";
import { printPredicateText } from "../ir/graph/text/predicate-text.js";

export type Overrides = Readonly<Record<string, string | number | boolean>>;

/** The overrides that make a model small, on top of those that are given. */
export function reduceSizes(file: FileNode, set: Overrides = {}): Overrides {
  const original = check(file, set);
  if (original === undefined) return set;
  const kind = describeKind(original);
  const fits = (overrides: Overrides) => {
    const model = check(file, overrides);
    return model !== undefined && describeKind(model) === kind;
  };
  const sizes = sizesOf(original, file).filter(({ smaller }) => smaller.length > 0);

  // Most models take the smallest of everything that their relation does not name, at one check instead of one per parameter.
  const related = namesInRelation(file);
  const free = sizes.filter(({ name }) => !related.has(name));
  const smallest = { ...set, ...Object.fromEntries(free.map(({ name, smaller }) => [name, smaller[0]!])) };
  if (fits(smallest)) return smallest;
  let reduced = set;
  for (const { name, smaller } of sizes) {
    const value = smaller.find((candidate) => fits({ ...reduced, [name]: candidate }));
    if (value !== undefined) reduced = { ...reduced, [name]: value };
  }
  return reduced;
}

/** Names in the model's own `attend` and `repeat`. */
function namesInRelation(file: FileNode): ReadonlySet<string> {
  const items = file.models.flatMap((model) => model.items);
  return namesIn(items.filter(({ kind }) => kind === "attend" || kind === "repeat"));
}

/** Names in the bounds of layer loops. */
function namesInLayerCounts(file: FileNode): ReadonlySet<string> {
  const loops = ({ statements }: Block): readonly Expression[] =>
    statements.flatMap((statement) => {
      if (statement.kind === "for") return [statement.count];
      return statement.kind === "within" ? loops(statement.body) : [];
    });
  const items = file.models.flatMap((model) => model.items);
  return namesIn(items.flatMap((item) => (item.kind === "forward" ? loops(item.body) : [])));
}

function namesIn(nodes: readonly Pick<Expression, "span">[]): ReadonlySet<string> {
  const texts = nodes.map(({ span }) => span.file.text.slice(span.start, span.end));
  return new Set(texts.flatMap((text) => text.match(/[A-Za-z_]\w*/g) ?? []));
}

interface Size {
  readonly name: string;
  /** What to try instead, smallest first. */
  readonly smaller: readonly number[];
}

/** The parameters that count something: integers by their type, which a default like `10000.0` is not. */
function sizesOf(model: CheckedModel, file: FileNode): readonly Size[] {
  const reals = new Set(
    file.models
      .flatMap(({ items }) => items)
      .flatMap((item) => (item.kind === "param" && item.defaultValue?.kind === "real" ? [item.name.text] : [])),
  );
  const layers = namesInLayerCounts(file);
  return model.params.flatMap(({ name, value }) =>
    typeof value === "number" && Number.isInteger(value) && !reals.has(name)
      ? [{ name, smaller: smallerValues(value, layers.has(name)) }]
      : [],
  );
}

/**
 * Large sizes stay above the width of a vector and below that of a tile or two; counts of heads become a few, and so do layers,
 * however many there are.
 */
function smallerValues(value: number, countsLayers: boolean): readonly number[] {
  const few = [2, 4, 8];
  const some = [16, 32, 48];
  const many = [64, 128, 256];
  const candidates = countsLayers ? [...few, ...some] : value > 64 ? many : value > 16 ? some : few;
  return candidates.filter((candidate) => candidate < value);
}

function check(file: FileNode, set: Overrides): CheckedModel | undefined {
  return checkModel(file, new DiagnosticCollector(), { set });
}

/** What must not change: the copies, the relations, the classes of layers. */
function describeKind(model: CheckedModel): string {
  const attends = new Set<string>();
  const classes: number[] = [];
  const visit = (ops: readonly (CheckedOp | LayersOp)[]) => {
    for (const op of ops) {
      if (op.kind === "attention") attends.add(printPredicateText(op.attend.predicate));
      if (op.kind !== "layers") continue;
      classes.push(op.classes.length);
      for (const { body } of op.classes) visit(body.ops);
    }
  };
  visit(model.body.ops);
  return JSON.stringify([model.copies, model.predictCopy, classes, [...attends]]);
}
