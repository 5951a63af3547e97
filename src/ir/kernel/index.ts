/** The kernel IR for readers outside the compiler: build, print, parse and verify kernels. */
export * from "./builder.js";
export * from "./capabilities.js";
export type { Expression } from "./expressions.js";
export * from "./kernel.js";
export { parseKernel } from "./parse.js";
export { printExpression, printKernel } from "./print.js";
export type { Statement } from "./statements.js";
export { findMisfits, findProblems, verifyKernel, workgroupMemory } from "./verify.js";
