/** Commands as a user meets them: what they print, what they write, how they end. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { parseGraph } from "../../src/ir/graph/parse.js";
import { printGraph } from "../../src/ir/graph/print.js";
import { runCli, scratchFolder } from "./run-cli.js";

const scratch = scratchFolder();
const bundled = fileURLToPath(new URL("../../examples/models/shakespeare-phd-cswa-3-16-32", import.meta.url));
const model = join(scratch, "model.phd");

beforeAll(async () => {
  await runCli(["import", bundled, "-o", model]);
});

describe("import", () => {
  it("prints on stdout without -o", async () => {
    const { code, stdout, stderr } = await runCli(["import", bundled]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toBe(readFileSync(model, "utf8"));
  });

  it("takes flags over the block", async () => {
    const { stdout } = await runCli([
      "import",
      bundled,
      "--window",
      "8",
      "--window-unit",
      "positions",
      "--repeat",
      "2",
    ]);
    expect(stdout).toContain("param K = 2, W = 8, C = 32");
    expect(stdout).toContain("phd_cswa_positions(q, k, W, C)");
  });

  it("writes nothing when something is wrong", async () => {
    const out = join(scratch, "wrong.phd");
    const { code, stderr } = await runCli(["import", bundled, "--variant", "phd", "-o", out]);
    expect(code).toBe(1);
    expect(stderr.match(/^error\[PHD0522\]/gm)).toHaveLength(3);
    expect(existsSync(out)).toBe(false);
  });

  it("says which folder is not there", async () => {
    expect(await runCli(["import", join(scratch, "nowhere")])).toMatchObject({
      code: 1,
      stderr: `error[PHD0903]: ${join(scratch, "nowhere")} cannot be read: there is no such file\n`,
    });
  });
});

describe("check", () => {
  it("is silent on stdout about a model that is right", async () => {
    const { code, stdout, stderr } = await runCli(["check", model]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
    expect(stderr).toContain("is a valid model (K = 3)");
  });

  it("reads stdin, and reports several mistakes at once, also as JSON", async () => {
    const text = readFileSync(model, "utf8").replace("head_dim, ffn", "hed_dim, fn").replace("repeat K", "repeat KK");
    const { code, stdout, stderr } = await runCli(["check", "-"], text);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr.match(/^error\[/gm)!.length).toBeGreaterThan(1);
    const json = await runCli(["check", "-", "--json"], text);
    const { diagnostics } = JSON.parse(json.stdout) as { diagnostics: { places: { file: string }[] }[] };
    expect(diagnostics.length).toBe(stderr.match(/^error\[/gm)!.length);
    expect(diagnostics[0]!.places[0]).toMatchObject({ file: "stdin" });
  });

  it("knows no parameter that the model does not have", async () => {
    expect((await runCli(["check", model, "--set", "layer=2"])).stderr).toContain("Did you mean `layers`?");
    expect((await runCli(["check", model, "--set", "K=many"])).code).toBe(1);
  });
});

describe("fmt", () => {
  const ugly = "model   A{param K=2\n\n\n// kept\nrepeat   K}";

  it("prints formatted text, with its comments", async () => {
    const { code, stdout } = await runCli(["fmt", "-"], ugly);
    expect(code).toBe(0);
    expect(stdout).toContain("// kept");
    expect((await runCli(["fmt", "-"], stdout)).stdout).toBe(stdout);
  });

  it("writes back, or names what is not formatted", async () => {
    const path = join(scratch, "ugly.phd");
    writeFileSync(path, ugly);
    expect(await runCli(["fmt", "--check", path])).toEqual({ code: 1, stdout: `${path}\n`, stderr: "" });
    expect((await runCli(["fmt", "-w", path])).code).toBe(0);
    expect(await runCli(["fmt", "--check", path])).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  it("leaves alone what does not parse", async () => {
    const path = join(scratch, "broken.phd");
    writeFileSync(path, "model {");
    expect((await runCli(["fmt", "-w", path])).code).toBe(1);
    expect(readFileSync(path, "utf8")).toBe("model {");
  });

  it("refuses to check and write at once", async () => {
    expect((await runCli(["fmt", "-w", "--check", model])).code).toBe(2);
  });

  it("finds imported models formatted", async () => {
    expect((await runCli(["fmt", "--check", model])).code).toBe(0);
  });
});

describe("compile", () => {
  it("wants to know what to do with the result", async () => {
    expect(await runCli(["compile", model])).toMatchObject({
      code: 2,
      stderr: "error[PHD0904]: Say where the package goes with -o, or what to print with --emit\n",
    });
  });

  it("prints a part of the result", async () => {
    const graph = (await runCli(["compile", model, "--emit", "graph"])).stdout;
    expect(printGraph(parseGraph(graph))).toBe(graph);
    expect((await runCli(["compile", model, "--emit", "wgsl"])).stdout).toContain("@compute");
    expect(JSON.parse((await runCli(["compile", model, "--emit", "manifest"])).stdout)).toMatchObject({ version: 1 });
    expect((await runCli(["compile", model, "--emit", "host"])).stdout).toContain("export class ");
    expect((await runCli(["compile", model, "--emit", "kernels"])).stdout.length).toBeGreaterThan(1000);
  });

  it("dumps the graph after every pass, as text that parses", async () => {
    const folder = join(scratch, "ir");
    expect((await runCli(["compile", model, "--dump-ir", folder])).code).toBe(0);
    const files = readdirSync(folder);
    expect(files[0]).toBe("00-lower.phdir");
    for (const file of files) {
      const text = readFileSync(join(folder, file), "utf8");
      expect(printGraph(parseGraph(text)), file).toBe(text);
    }
  });

  it("prints the graph after a pass, and how long passes took, on stderr", async () => {
    const { code, stdout, stderr } = await runCli(["compile", model, "--print-after", "build-masks", "--time-passes"]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
    expect(stderr).toContain("// after build-masks");
    expect(stderr).toMatch(/ ms {4}build-masks/);
    expect((await runCli(["compile", model, "--print-after", "build-mask"])).code).toBe(2);
  });

  it("does not replace a folder that is no package", async () => {
    const folder = join(scratch, "letters");
    mkdirSync(folder);
    writeFileSync(join(folder, "letter.txt"), "");
    expect(await runCli(["compile", model, "-o", folder])).toMatchObject({ code: 1 });
    expect(readdirSync(folder)).toEqual(["letter.txt"]);
  });
});

describe("explain", () => {
  /** Places name the model by the path it was given by. */
  const withoutFolder = (text: string) => text.replaceAll(model, "model.phd");

  it("says what was derived, what it costs, and why", async () => {
    const { code, stdout } = await runCli(["explain", model, "--set", "n=100"]);
    expect(code).toBe(0);
    expect(withoutFolder(stdout)).toMatchInlineSnapshot(`
      "ShakespearePhdCswa_3_16_32: K = 3, a prompt of n = 100 positions

      layer   group      k/v rows  query rows  ffn rows  kept  bytes   how long
      0 to 2  originals       100         100       100   100  50 KiB  for ever
      0 to 2  hidden            8           8         8     8  4 KiB   ring of 16 in chunk of 32
      3       originals       100           0         0   100  50 KiB  for ever
      3       hidden            8           1         1     8  4 KiB   ring of 15 in chunk of 32

      Keys are kept because of
        originals, for ever: \`k.copy == 1 and k.pos < q.pos\` (std/phd.phd:11:29) reads these keys at any distance; it comes from \`attend q -> k when phd_cswa(q, k, W, C)\` (model.phd:13:3)
        hidden, ring of 16 in chunk of 32: \`recent(q, k, W) and same_chunk(q, k, C)\` (std/phd.phd:24:52) reads 16 keys back from the end of the sequence, and none past a multiple of 32 positions; it comes from \`attend q -> k when phd_cswa(q, k, W, C)\` (model.phd:13:3)
        hidden, ring of 15 in chunk of 32: \`recent(q, k, W) and same_chunk(q, k, C)\` (std/phd.phd:24:52) reads 15 keys back from the end of the sequence, and none past a multiple of 32 positions; it comes from \`attend q -> k when phd_cswa(q, k, W, C)\` (model.phd:13:3)

      Rows are computed where they are needed: of the last layer's queries, the one that predicts the next position; in every layer, the
      keys that a query computed there or a later step sees, and the rows below that these come from.

                               this model  K = 1      ratio  repetition  paper's plan
      keys and values kept     216 KiB     200 KiB   ×1.080  600 KiB     216 KiB
      prefill, FLOP            140 M       129 M     ×1.085  434 M       182 M
      prefill, bytes moved     3.24 MiB    3.23 MiB  ×1.005  3.62 MiB    3.24 MiB
      decode step, FLOP        4.57 M      1.80 M    ×2.542  5.56 M      5.39 M
      decode step, bytes read  3.24 MiB    3.23 MiB  ×1.005  3.62 MiB    3.24 MiB

      K = 1: every token once. Repetition: K copies, each sees all before it in stream order. Paper's plan: hidden tokens of the last
      position, the last chunk or the whole prompt, as far as keys are kept, and every row in all layers.

      Key stores for a context of 100 positions take 235.5 KiB; rings have room for a step's own keys, too.
      As a formula: batch * context * 1536 + batch * 27648 + batch * context * 512 + batch * 8704 bytes
      "
    `);
  });

  it("gives the same as JSON, per layer and group", async () => {
    const { stdout } = await runCli(["explain", model, "--set", "n=100", "--json"]);
    const { layers, n } = JSON.parse(withoutFolder(stdout)) as { layers: Record<string, unknown>[]; n: number };
    expect(n).toBe(100);
    expect(layers).toHaveLength(8);
    expect(layers.at(-1)).toMatchInlineSnapshot(`
      {
        "bytes": 4096,
        "ffn_rows": 1,
        "group": "hidden",
        "kv_rows": 8,
        "layer": 3,
        "query_rows": 1,
        "read_later": 8,
        "reason": "\`recent(q, k, W) and same_chunk(q, k, C)\` (std/phd.phd:24:52) reads 15 keys back from the end of the sequence, and none past a multiple of 32 positions; it comes from \`attend q -> k when phd_cswa(q, k, W, C)\` (model.phd:13:3)",
        "retained": 8,
        "retention": "ring of 15 in chunk of 32",
      }
    `);
  });

  it("follows parameters of the model", async () => {
    const json = async (...set: string[]) =>
      JSON.parse((await runCli(["explain", model, "--json", ...set.flatMap((each) => ["--set", each])])).stdout);
    expect((await json("K=1")).prefill_flops).toMatchObject({ value: (await json("K=1")).prefill_flops.single });
    expect((await runCli(["explain", model, "--set", "n=0"])).code).toBe(2);
  });
});

describe("inspect", () => {
  it("lists the tensors of a checkpoint", async () => {
    const { code, stdout } = await runCli(["inspect", bundled]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^model\.norm\.weight +F16 +\[128\] +256 B$/m);
    expect(stdout).toContain("804,224 parameters");
  });

  it("summarises a package", async () => {
    const folder = join(scratch, "package");
    await runCli(["compile", model, "-o", folder]);
    const { code, stdout } = await runCli(["inspect", folder]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Dispatches of a decode step: [1-8] in each of 4 layers/);
    const json = JSON.parse((await runCli(["inspect", folder, "--json"])).stdout) as { kernels: unknown[] };
    expect(json.kernels.length).toBeGreaterThan(10);
  });
});

describe("doctor", () => {
  it("says what there is", async () => {
    const { code, stdout } = await runCli(["doctor", "--json"]);
    expect(code).toBe(0);
    expect(["webgpu", "cpu"]).toContain((JSON.parse(stdout) as { auto: string }).auto);
    expect((await runCli(["doctor"])).stdout).toContain("CPU interpreter: always there");
  });
});

describe("verify", () => {
  const args = ["verify", model, "--weights", bundled, "--tokens", "40", "--device"];

  it("finds the CPU device equal to the dense forward pass", async () => {
    const { code, stdout } = await runCli([...args, "cpu"]);
    expect(stdout).toContain("They agree.");
    expect(code).toBe(0);
  });

  it("compares every operation of every layer on a WebGPU device", async () => {
    const { code, stdout } = await runCli([...args, "webgpu", "--dtype", "f32", "--json"]);
    const report = JSON.parse(stdout) as { passed: boolean; ops: { layer?: number; difference: number }[] };
    expect({ code, ...report, ops: [] }).toMatchObject({ code: 0, passed: true });
    expect(report.ops.filter(({ layer }) => layer === 3).length).toBeGreaterThanOrEqual(5);
    for (const { difference } of report.ops) expect(difference).toBeLessThan(1e-3);
  });
});
