/** PHD04xx: attend relations that look into the future, see nothing, or cannot be analysed. */
import { defineDiagnostics } from "./define.js";

interface TokenPlace {
  readonly pos: number;
  readonly copy: number;
}

const place = ({ pos, copy }: TokenPlace): string => `pos ${pos} copy ${copy}`;

/** " in layer 2 of 0..3", or nothing where every layer agrees. */
const inLayer = (layer: number | undefined): string => (layer === undefined ? "" : ` in layer ${layer}`);

export const relationDiagnostics = defineDiagnostics({
  seesLaterStep: {
    code: "PHD0401",
    title: "A query sees a key of a later step",
    explanation: [
      "All copies of one position are computed in one step, and steps run in the order of the positions. A query may see keys of its own position, whatever their copy, and of earlier positions. A key of a later position does not exist yet when the query is computed, so generation token by token could not give what the dense model gives.",
      "The two tokens in the message are an example that the relation lets through; it is proved, not sampled, that there is none when this report is absent. Add `k.pos <= q.pos`, or `k.pos < q.pos`, to the part of the relation that the report points at.",
    ].join("\n\n"),
    example: "attend q -> k when k.pos <= q.pos + 1",
    message: (data: { query: TokenPlace; key: TokenPlace; layer?: number }) =>
      `A query sees a key of a later step${inLayer(data.layer)}: query ${place(data.query)} sees key ${place(data.key)}`,
    hint: () => "Add `and k.pos <= q.pos`: a step cannot read what a later step writes.",
  },
  seesNothing: {
    code: "PHD0402",
    title: "A row sees nothing",
    explanation: [
      "Attention is a weighted mean over the keys that a query sees. Over no keys the softmax is 0 divided by 0, so a query that is needed must see at least one key.",
      "Only rows that some prediction depends on are reported. Let every token see itself (`k.pos == q.pos and k.copy == q.copy`), or choose bounds that cannot leave a row empty, at position 0 in particular.",
    ].join("\n\n"),
    example: "attend q -> k when k.pos < q.pos",
    message: (data: { query: TokenPlace; layer?: number }) =>
      `A row sees nothing${inLayer(data.layer)}: query ${place(data.query)} sees no key, so its softmax is empty`,
    hint: () => "Let the row see itself: `or k.pos == q.pos and k.copy == q.copy`.",
  },
  unusedCopy: {
    code: "PHD0403",
    severity: "warning",
    title: "No output depends on a copy",
    explanation:
      "The logits come from the predicted copy of the last position. Following the relation backwards through the layers, no path reaches this copy, so it is never computed. The model gives the same logits with a smaller `repeat`, if the other copies are renumbered.",
    example: "repeat 3\nattend q -> k when k.pos <= q.pos and k.copy == q.copy\npredict copy 3",
    message: (data: { first: number; last: number }) =>
      data.first === data.last
        ? `No output depends on copy ${data.first}`
        : `No output depends on copies ${data.first} to ${data.last}`,
    hint: () => "Let the predicted copy see it, directly or through other copies, or repeat fewer times.",
  },
  unboundedLifetime: {
    code: "PHD0404",
    severity: "warning",
    title: "No cache layout bounds the lifetime of these keys",
    explanation: [
      "Some of these keys are read for a limited time only, but no layout that the compiler knows (a ring, or a ring within a chunk) holds exactly them: the keys that are still needed are spread over the whole sequence. They are all kept for ever, which is correct and costs memory that grows with the sequence.",
      "A lifetime that grows with the position (`q.pos <= 2 * k.pos`), or keys that live for ever among others that do not (`k.pos mod 64 == 0`), lead here. The first positions are no such case: where a relation compares `k.pos` with a constant, they are kept apart from those behind them.",
    ].join("\n\n"),
    example: "attend q -> k when k.pos <= q.pos and q.pos <= 2 * k.pos + 8",
    message: (data: { group: string; layer?: number }) =>
      `Keys of the group ${data.group}${inLayer(data.layer)} are kept for ever although some are read for a limited time only`,
    hint: () => "Bound the distance by a constant (`q.pos - k.pos <= W`) or by a chunk (`q.pos div C == k.pos div C`).",
  },
  analysisTooCostly: {
    code: "PHD0405",
    title: "The relation is too costly to analyse",
    explanation:
      "Retention and demand are exact integer reasoning, and that can take exponential time. The compiler gives up after a fixed amount of work rather than hang, and names the term that costs most. Bounds on positions and copies are cheap; `div` and `mod` by many different divisors at once are not.",
    example: "attend q -> k when (q.pos * 7 + k.pos * 5) mod 97 < (q.pos * 3 + k.pos * 11) mod 89",
    message: (data: { analysis: string; steps: number; term?: string }) =>
      `The analysis of ${data.analysis} gave up after ${data.steps} steps${data.term === undefined ? "" : `; the costly term is \`${data.term}\``}`,
    hint: () => "Use fewer `div` and `mod` with different divisors, or smaller ones.",
  },
  approximated: {
    code: "PHD0407",
    severity: "warning",
    title: "More is computed and kept than needed",
    explanation: [
      "Which rows a layer must compute, and which keys must be kept, follows from the relation by exact integer reasoning through all layers. For this relation that takes more work than the compiler allows, so it went on with simpler sets around the exact ones.",
      "The model computes the same logits. It may compute rows, and keep keys, that nothing reads.",
    ].join("\n\n"),
    example:
      "attend q -> k when k.pos <= q.pos and (q.pos * 2 + q.copy) div 11 == (k.pos * 2 + k.copy) div 11 and q.pos div 13 == k.pos div 13",
    message: (data: { term?: string }) =>
      `More rows and keys may be computed and kept than are needed: the relation is too costly to analyse exactly${data.term === undefined ? "" : `, most of all \`${data.term}\``}`,
    hint: () =>
      "Chunks of whole positions (`q.pos div C`) are cheap to analyse; chunks that cut through positions are, if they repeat within a hundred positions.",
  },
  undecided: {
    code: "PHD0408",
    severity: "warning",
    title: "Something about the relation could not be decided",
    explanation: [
      "Whether every row that is needed sees a key, and whether every copy has an effect, follows from exact integer reasoning through all layers. For this relation that takes more work than the compiler allows, and the first positions of a sequence, which it then looked at one by one, show no example either.",
      "The model compiles. A row that sees no key would get zeros from attention; a copy without an effect would be computed for nothing.",
    ].join("\n\n"),
    example: "attend q -> k when k.pos <= q.pos and (q.pos * 7 + k.pos * 5) mod 97 < (q.pos * 3 + k.pos * 11) mod 89",
    message: (data: { question: string; term?: string }) =>
      `It could not be decided whether ${data.question}${data.term === undefined ? "" : `; the costly term is \`${data.term}\``}`,
    hint: () => "Let every token see itself (`or k.pos == q.pos and k.copy == q.copy`), and use fewer `div` and `mod`.",
  },
  shortContext: {
    code: "PHD0409",
    severity: "warning",
    title: "Large factors bound the length of sequences",
    explanation:
      "Kernels compute who sees whom in integers of 32 bits. Factors and divisors multiply positions, so large ones leave that range long before positions do. The package accepts no context for which a value might.",
    example: "attend q -> k when k.pos <= q.pos and 1000000 * k.pos <= 999999 * q.pos",
    message: (data: { positions: number }) =>
      `Sequences can have ${data.positions} positions at most: beyond them the relation has values of 2^31 and more`,
    hint: () => "Use smaller factors.",
  },
  numbersTooLarge: {
    code: "PHD0410",
    title: "The relation needs integers of 2^31 and more",
    explanation:
      "Kernels compute who sees whom in integers of 32 bits. Here the bounds between which a query looks have larger numbers in them for a sequence of one position already: a window or a chunk counted in hidden tokens is multiplied by their number per position.",
    example: "attend q -> k when phd_cswa(q, k, 16, 1073741824)",
    message: () => "The relation has values of 2^31 and more for every sequence",
    hint: () => "Use smaller windows, chunks and factors; one beyond every context decides nothing.",
  },
  integersTooLarge: {
    code: "PHD0406",
    title: "The relation needs integers of 2^53 and more",
    explanation:
      "The analyses combine the factors and divisors of all terms. Their products must stay below 2^53, where doubles are exact integers.",
    example: "attend q -> k when k.pos * 100000000 <= q.pos * 100000001",
    message: (data: { term?: string }) =>
      `The analysis of the attend relation needs integers of 2^53 and more${data.term === undefined ? "" : ` for \`${data.term}\``}`,
    hint: () => "Use smaller factors and divisors.",
  },
});
