/** Every golden case from its `config.json` to logits, on every device, wherever the prompt ends. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { logitsOf } from "../../src/cli/commands/logits.js";
import { openModel } from "../../src/cli/open-model.js";
import { MemoryTerminal } from "../../src/cli/terminal.js";
import { readTensors } from "../cli/read-tensors.js";
import { runCli, scratchFolder } from "../cli/run-cli.js";
import { expectGolden } from "./compare.js";
import { goldenFolders } from "./shared.js";

const scratch = scratchFolder();

describe.skipIf(goldenFolders.length === 0).each(["cpu", "webgpu"] as const)("on %s", (device) => {
  it.each(goldenFolders)("%s gives the golden logits", async (name, folder) => {
    const path = join(scratch, `${name}-${device}.phd`);
    expect(await runCli(["import", folder, "-o", path])).toEqual({ code: 0, stdout: "", stderr: "" });

    const golden = await readTensors(join(folder, "golden.safetensors"));
    const ids = Array.from(golden.get("input_ids")!.values);
    const { values, shape } = golden.get("logits")!;
    const terminal = new MemoryTerminal();
    const source = { name: path, text: readFileSync(path, "utf8") };
    const model = await openModel(terminal, source, { weights: folder, device, dtype: "f32", set: {} });
    try {
      console.info(`${name} on ${model.device.name}`);
      await model.load({ batch: 1, context: ids.length });
      for (const prefill of [1, Math.floor(ids.length / 2), ids.length]) {
        expectGolden(await logitsOf(model, ids, prefill), values, prefill - 1, shape[1]!);
      }
    } finally {
      await model.close();
    }
    expect(terminal.stderr).toBe("");
  });
});
