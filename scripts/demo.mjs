// Compiles the bundled PHD-CSWA model and lets it write Shakespeare, on the best device there is.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { main } from "../dist/command/main.js";

const example = fileURLToPath(new URL("../examples/models/shakespeare-phd-cswa-3-16-32", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "phdc-demo-"));

/** Shows a command line as a user would type it, and runs it. */
async function run(...args) {
  const shown = args.map((arg) => (/^[\w./:=-]+$/.test(arg) ? arg : JSON.stringify(arg)));
  process.stderr.write(`\n$ phdc ${shown.join(" ")}\n`);
  const code = await main(args);
  if (code !== 0) throw new Error(`phdc ${args[0]} failed with exit code ${code}`);
}

try {
  const model = join(scratch, "shakespeare.phd");
  await run("import", example, "-o", model);
  await run("explain", model);
  await run("compile", model, "--target", "webgpu", "-o", join(scratch, "package"));
  // A little warmth: at temperature 0 a small model soon repeats itself. It was trained on texts of 128 characters.
  const sampling = ["--max-tokens", "120", "--temperature", "0.7", "--top-k", "20", "--seed", "7"];
  await run("run", model, "--weights", example, "--prompt", "ROMEO:\n", ...sampling);
  process.stdout.write("\n");
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
