/**
 * Random models as text: blocks that no architecture has, heads of any width, relations that nobody named, layers that differ.
 *
 * They come from the language and not from a checkpoint, so they go where `small-models.ts` does not.
 */
import fc from "fast-check";

export interface WrittenModel {
  readonly text: string;
  readonly vocab: number;
}

const modulo = fc
  .tuple(fc.integer({ min: 2, max: 5 }), fc.nat({ max: 4 }))
  .map(([of, at]) => `mod ${of} == ${at % of}`);

/** Something that holds of some pairs of a query and a key. */
const conditions = (copies: number): fc.Arbitrary<string> => {
  const copy = fc.integer({ min: 1, max: copies });
  const few = fc.nat({ max: 8 });
  const size = fc.integer({ min: 1, max: 7 });
  return fc.oneof(
    few.map((window) => `q.pos - k.pos <= ${window}`),
    few.map((window) => `stream(q) - stream(k) <= ${2 * window}`),
    few.map((first) => `k.pos < ${first}`),
    few.map((first) => `q.pos >= ${first}`),
    size.map((chunk) => `q.pos div ${chunk} == k.pos div ${chunk}`),
    size.map((chunk) => `stream(q) div ${chunk} - stream(k) div ${chunk} <= 1`),
    modulo.map((stride) => `(q.pos - k.pos) ${stride}`),
    modulo.map((stride) => `(k.pos + k.copy) ${stride}`),
    modulo.map((stride) => `q.pos ${stride}`),
    copy.map((of) => `k.copy == ${of}`),
    copy.map((of) => `q.copy >= ${of}`),
    fc.constantFrom("k.copy == q.copy", "k.copy > 1", "q.copy > 1", "k.copy < q.copy"),
  );
};

/** Every query sees itself, and nobody sees a later position. */
const relations = (copies: number): fc.Arbitrary<string> => {
  const past = fc.constantFrom(
    "k.pos < q.pos",
    "original(q, k)",
    "earlier_hidden(q, k)",
    "up_to(q, k)",
    "causal(q, k)",
  );
  const alternative = fc
    .tuple(past, fc.array(conditions(copies), { maxLength: 2 }), fc.boolean())
    .map(([guard, [first, ...rest], negated]) =>
      [guard, ...(first === undefined ? [] : [negated ? `not (${first})` : first]), ...rest].join(" and "),
    );
  return fc
    .tuple(
      fc.constantFrom("own(q, k)", "phd(q, k)", "k.pos == q.pos", "k.pos == q.pos and k.copy == q.copy"),
      fc.array(alternative, { maxLength: 3 }),
    )
    .map(([self, others]) => [self, ...others].join(" or "));
};

interface Block {
  readonly before: boolean;
  readonly behind: boolean;
  readonly bias: boolean;
  readonly rotated: boolean;
  readonly normed: "rows" | "heads" | "neither";
  readonly activation: string;
  readonly gated: boolean;
  /** How what a part computes is added to the stream. */
  readonly added: string;
  /** Whether the feed-forward part reads what attention reads. */
  readonly parallel: boolean;
}

const blocks: fc.Arbitrary<Block> = fc.record({
  before: fc.boolean(),
  behind: fc.boolean(),
  bias: fc.boolean(),
  rotated: fc.boolean(),
  normed: fc.constantFrom("rows", "heads", "neither"),
  activation: fc.constantFrom("silu", "gelu", "relu", "sigmoid", "tanh"),
  gated: fc.boolean(),
  added: fc.constantFrom("x +=", "x += 0.5 *", "x = x * 0.5 +"),
  parallel: fc.boolean(),
});

/** The statements of a layer. Layers of another kind have other tensors. */
function statementsOf(block: Block, width: number, kind: string): string {
  const { before, behind, bias, normed, activation, gated, parallel } = block;
  const norm = (of: string, name: string, size: string) => `rms_norm(${of}, weight "${kind}.${name}" [${size}])`;
  const product = (of: string, name: string, rows: string, columns: string) =>
    `linear(${of}, weight "${kind}.${name}" [${rows}, ${columns}]${bias ? `, bias "${kind}.${name}" [${rows}]` : ""})`;
  const heads = (name: string, count: string) => {
    const flat = product("h", name, `${count} * width`, "dim");
    if (name === "v") return `split(${flat}, ${count})`;
    const whole = `split(${normed === "rows" ? norm(flat, `${name}_norm`, `${count} * width`) : flat}, ${count})`;
    const ready = normed === "heads" ? norm(whole, `${name}_norm`, "width") : whole;
    return block.rotated && width % 2 === 0 ? `rope(${ready})` : ready;
  };
  const added = (part: string, name: string) => {
    const value = behind ? norm(part, `${name}_behind`, "dim") : part;
    return block.added.endsWith("*") ? `x += ${value} * 0.5` : `${block.added} ${value}`;
  };
  const active = `${activation}(${product("m", "gate", "ffn", "dim")})`;
  return [
    `let h = ${before ? norm("x", "attention_norm", "dim") : "x"}`,
    `let mixed = merge(attention(${heads("q", "heads")}, ${heads("k", "kv_heads")}, ${heads("v", "kv_heads")}))`,
    added(product("mixed", "o", "dim", "heads * width"), "o"),
    `let m = ${parallel ? "h" : before ? norm("x", "ffn_norm", "dim") : "x"}`,
    added(product(gated ? `${active} * ${product("m", "up", "ffn", "dim")}` : active, "down", "dim", "ffn"), "down"),
  ].join("\n      ");
}

export const writtenModels: fc.Arbitrary<WrittenModel> = fc.integer({ min: 1, max: 6 }).chain((copies) =>
  fc
    .record({
      layers: fc.integer({ min: 1, max: 4 }),
      keyHeads: fc.integer({ min: 1, max: 3 }),
      group: fc.integer({ min: 1, max: 3 }),
      width: fc.constantFrom(1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16),
      dim: fc.integer({ min: 1, max: 20 }),
      ffn: fc.integer({ min: 1, max: 20 }),
      vocab: fc.integer({ min: 2, max: 23 }),
      relation: relations(copies),
      index: fc.constantFrom("t.pos", "stream(t)", "2 * t.pos + t.copy"),
      block: blocks,
      other: fc.option(fc.tuple(blocks, relations(copies)), { nil: undefined }),
      predicted: fc.integer({ min: 1, max: copies }),
      tied: fc.boolean(),
    })
    .map(({ layers, keyHeads, group, width, dim, ffn, vocab, relation, index, block, other, predicted, tied }) => {
      const own = statementsOf(block, width, "own");
      const body =
        other === undefined
          ? own
          : `if l mod 2 == 0 { ${own} } else { attend q -> k when ${other[1]}\n ${statementsOf(other[0], width, "other")} }`;
      const text = `use std.phd
model Written {
  param vocab = ${vocab}, layers = ${layers}, dim = ${dim}, ffn = ${ffn}, width = ${width}, K = ${copies}
  param heads = ${keyHeads * group}, kv_heads = ${keyHeads}
  repeat K
  attend q -> k when ${relation}
  rotate t by ${index}
  forward(ids: [positions] int) -> [positions, vocab] {
    var x = repeat(embed(ids, weight "embed" [vocab, dim]))
    for l in layers within "layers.{l}" {
      ${body}
    }
    predict copy ${predicted}: linear(rms_norm(x, weight "norm" [dim]), weight "${tied ? "embed" : "head"}" [vocab, dim])
  }
}
`;
      return { text, vocab };
    }),
);
