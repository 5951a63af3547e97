import { writeFileSync, mkdirSync } from "node:fs";
import { it } from "vitest";
import { runCli } from "../../cli/run-cli.js";
it("x", async () => {
  const r = await runCli(["compile", "examples/vanilla.phd", "--target", "cuda", "--dtype", "f16", "--quantize", "int4", "-o", "/tmp/phdc/H8/cudapkg"]);
  console.log(r.code, r.stderr);
}, 300000);
