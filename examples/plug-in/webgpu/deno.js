/**
 * Runs the self-test of a package in Deno:
 *
 *   deno run --allow-read deno.js PACKAGE
 */
import { runSelfTest } from "./selftest.js";

const [folder] = Deno.args;
if (folder === undefined) throw new Error("usage: deno run --allow-read deno.js PACKAGE");
const adapter = await navigator.gpu?.requestAdapter();
if (!adapter) throw new Error("there is no WebGPU adapter");
const { passed, difference, tolerance } = await runSelfTest(await adapter.requestDevice(), (file) =>
  Deno.readTextFile(`${folder}/${file}`),
);
console.log(`${passed ? "passed" : "failed"}: largest difference ${difference.toExponential(2)}, allowed ${tolerance}`);
Deno.exit(passed ? 0 : 1);
