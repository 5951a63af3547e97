/** `phdc/ir`: the graph IR as text and as data, for tools that read or make dumps. */
export { GraphBuilder } from "./graph/builder.js";
export type { Graph, Op, OpKind, Value, ValueId } from "./graph/ops.js";
export { parseGraph } from "./graph/parse.js";
export { type PrintOptions, printGraph } from "./graph/print.js";
export { replacedBy, rewriteGraph, rewriteOps } from "./graph/rewrite.js";
export { GraphTextError } from "./graph/text/reader.js";
export { type Guarantee, graphProblems, verifyGraph } from "./graph/verify.js";
export { eachBlock, eachOp, eachOperand, mapOperands } from "./graph/walk.js";
