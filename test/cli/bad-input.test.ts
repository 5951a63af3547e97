/** What a user meets who gives a command the wrong thing: a message in the user's words, and every file as it was. */
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { writeSafetensors } from "../../src/runtime/safetensors.js";
import { runCli, scratchFolder } from "./run-cli.js";

const bundled = fileURLToPath(new URL("../../examples/models/shakespeare-phd-cswa-3-16-32", import.meta.url));
const scratch = scratchFolder();
const model = join(scratch, "model.phd");
const at = (name: string) => join(scratch, name);
const onCpu = ["--weights", bundled, "--device", "cpu"];

/** The message, without what depends on where tests run. */
async function complaint(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCli(args);
  expect(code).toBeGreaterThan(0);
  expect(stdout).toBe("");
  expect(stderr).not.toContain("bug");
  return stderr.replaceAll(scratch, "…").split("\n")[0]!;
}

beforeAll(async () => {
  await runCli(["import", bundled, "-o", model]);
  mkdirSync(at("folder"));
  writeFileSync(at("notes.txt"), "precious");
});

describe("a path", () => {
  it("that is not there keeps its own spelling in the message", async () => {
    const ids = at("ids.json");
    writeFileSync(ids, "[1, 2, 3]");
    const logits = ["logits", model, "--ids", ids, "--prefill", "1", "--device", "cpu", "-o", at("l.safetensors")];
    expect(await complaint(...logits, "--weights", "nowhere")).toBe("error[PHD0601]: nowhere is not there");
    expect(await complaint("inspect", model)).toBe(
      "error[PHD0601]: …/model.phd is neither a folder nor a .safetensors file",
    );
    expect(await complaint("run", model, "--weights", "nowhere", "--prompt", "x")).toBe(
      "error[PHD0617]: nowhere is not there",
    );
  });

  it("that cannot be written says why in words", async () => {
    expect(await complaint("import", bundled, "-o", at("folder"))).toBe(
      "error[PHD0802]: …/folder cannot be written: it is a folder",
    );
    expect(await complaint("import", bundled, "-o", at("notes.txt/model.phd"))).toBe(
      "error[PHD0802]: …/notes.txt/model.phd cannot be written: a part of its path is no folder",
    );
    expect(await complaint("import", bundled, "-o", "")).toContain("It must be a path.");
    expect(await complaint("compile", model, "-o", "-")).toContain("It cannot be stdout.");
  });

  it("of a mask is never taken from a model", async () => {
    const before = readFileSync(model, "utf8");
    expect(await complaint("explain", model, "--mask", model)).toContain("put --mask behind the model");
    expect(readFileSync(model, "utf8")).toBe(before);
  });
});

describe("a package", () => {
  it("that holds a file of the user's is not replaced", async () => {
    const out = at("package");
    expect((await runCli(["compile", model, "-o", out])).code).toBe(0);
    expect((await runCli(["compile", model, "-o", out])).code).toBe(0);
    writeFileSync(join(out, "model.safetensors"), "weights");
    expect(await complaint("compile", model, "-o", out)).toBe(
      "error[PHD0803]: …/package holds model.safetensors, which is no part of an earlier output",
    );
    expect(readFileSync(join(out, "model.safetensors"), "utf8")).toBe("weights");
    expect(readdirSync(scratch).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  it("whose manifest is damaged is told where", async () => {
    const damaged = at("damaged");
    mkdirSync(damaged);
    const manifest = (text: string) => writeFileSync(join(damaged, "manifest.json"), text);
    manifest("{");
    expect(await complaint("inspect", damaged)).toBe(
      "error[PHD0801]: …/damaged/manifest.json: the manifest: is not JSON",
    );
    manifest('{"format":"phdc-package"}');
    expect(await complaint("inspect", damaged)).toContain(
      "error[PHD0801]: …/damaged/manifest.json: version: must be 1",
    );
    expect((await runCli(["inspect", damaged, "--validate"])).stdout).toContain("manifest.json: version: must be 1");
  });
});

describe("numbers", () => {
  it("of a configuration that are too large are told the largest", async () => {
    const config = JSON.parse(readFileSync(join(bundled, "config.json"), "utf8"));
    writeFileSync(at("config.json"), JSON.stringify({ ...config, num_hidden_layers: 1e30 }));
    expect(await complaint("import", scratch)).toBe(
      'error[PHD0507]: "num_hidden_layers" is 1e+30, but must be from 1 to 4096',
    );
    rmSync(at("config.json"));
  });

  it("of copies have one limit, whether imported or set", async () => {
    expect(await complaint("import", bundled, "--repeat", "1025")).toContain("a whole number from 1 to 1024");
    expect(await complaint("check", model, "--set", "K=1025")).toContain("must be from 1 to 1024");
  });

  it("that make a frequency infinite are shown", async () => {
    expect(await complaint("check", model, "--set", "theta=0")).toBe(
      "error[PHD0305]: `theta ^ (-2 * i / width)` is 0 ^ (-0.0625) here, which is no finite number",
    );
  });

  it("of a chunk that leave 32 bits are refused before kernels are made", async () => {
    expect(await complaint("compile", model, "--set", "C=1073741824", "--emit", "graph")).toBe(
      "error[PHD0410]: The relation has values of 2^31 and more for every sequence",
    );
  });
});

describe("several files", () => {
  it("are formatted although one of them cannot be read", async () => {
    writeFileSync(at("ugly.phd"), "model A{");
    const { code, stdout, stderr } = await runCli(["fmt", at("absent.phd"), at("ugly.phd"), model]);
    expect(code).toBe(1);
    expect(stdout).toBe(readFileSync(model, "utf8"));
    expect(stderr.match(/error\[PHD\d+\]/g)).toEqual(["error[PHD0903]", "error[PHD0009]"]);
  });
});

describe("weights", () => {
  it("may be the file in a folder, whose tokenizer is taken", async () => {
    const file = join(bundled, "model.safetensors");
    const args = ["run", model, "--weights", file, "--device", "cpu", "--prompt", "ROMEO:", "--max-tokens", "2"];
    expect(await runCli(args)).toMatchObject({ code: 0, stderr: "" });
  });

  it("of more layers than the model has are warned about", async () => {
    const args = ["run", model, ...onCpu, "--set", "layers=3", "--prompt", "A", "--max-tokens", "1"];
    const { code, stderr } = await runCli(args);
    expect(code).toBe(0);
    expect(stderr).toContain("warning[PHD0910]: ");
    expect(stderr).toContain("has 9 tensors that the model does not read, model.layers.3.");
  });

  it("of fewer layers are not mistaken for tensors of another layer", async () => {
    const { code, stderr } = await runCli(["run", model, ...onCpu, "--set", "layers=5", "--prompt", "A"]);
    expect(code).toBe(1);
    expect(stderr).toContain("has no tensor model.layers.4.");
    expect(stderr).not.toContain("Is it");
  });

  it("with the frequencies that older libraries stored are not warned about", async () => {
    const folder = at("older");
    mkdirSync(folder);
    const tiny = { model_type: "llama", vocab_size: 4, hidden_size: 4, intermediate_size: 4, num_hidden_layers: 1 };
    writeFileSync(join(folder, "config.json"), JSON.stringify({ ...tiny, num_attention_heads: 1 }));
    await runCli(["import", folder, "-o", join(folder, "tiny.phd")]);
    const tensor = (name: string, ...shape: number[]) => {
      const bytes = new Uint8Array(4 * shape.reduce((product, size) => product * size, 1));
      return { name, dtype: "F32" as const, shape, bytes };
    };
    const layer = "model.layers.0";
    const matrices = ["self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down"];
    const file = writeSafetensors([
      ...matrices.map((name) => tensor(`${layer}.${name}_proj.weight`, 4, 4)),
      ...["input_layernorm", "post_attention_layernorm"].map((name) => tensor(`${layer}.${name}.weight`, 4)),
      ...["model.embed_tokens", "lm_head"].map((name) => tensor(`${name}.weight`, 4, 4)),
      tensor("model.norm.weight", 4),
      tensor(`${layer}.self_attn.rotary_emb.inv_freq`, 2),
    ]);
    writeFileSync(join(folder, "model.safetensors"), file);
    const args = ["logits", join(folder, "tiny.phd"), "--weights", folder, "--device", "cpu", "--ids", "-"];
    const { code, stderr } = await runCli([...args, "--prefill", "2", "-o", at("older.safetensors")], "[1, 2]");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  });
});

describe("a prompt", () => {
  it("with a character that does not show is told its number", async () => {
    const run = (prompt: string) => complaint("run", model, ...onCpu, "--prompt", prompt);
    expect(await run("e\u0301")).toBe("error[PHD0620]: The tokenizer has no token for U+0301");
    expect(await run("你好")).toBe('error[PHD0620]: The tokenizer has no token for "你" (U+4F60)');
  });
});

describe("a folder that may not be written to", () => {
  // Whoever may write anywhere, as root does, cannot see this.
  it.skipIf(process.getuid?.() === 0)("keeps what it has", async () => {
    mkdirSync(at("locked"));
    chmodSync(at("locked"), 0o555);
    expect(await complaint("import", bundled, "-o", at("locked/model.phd"))).toContain("permission denied");
    chmodSync(at("locked"), 0o755);
  });
});

describe("compile --json", () => {
  it("gives one document, whatever is asked for", async () => {
    const { stdout } = await runCli(["compile", model, "--emit", "graph", "--dump-ir", at("ir"), "--json"]);
    const { graph, dumped } = JSON.parse(stdout);
    expect(graph).toMatch(/^graph "/);
    expect(dumped).toEqual(readdirSync(at("ir")).sort());
  });
});

describe("explain", () => {
  it("counts caches of bf16 in two bytes", async () => {
    const bytesOf = async (dtype: string) => {
      const { stdout } = await runCli(["explain", model, "--json", "--dtype", dtype, "--set", "n=64"]);
      return JSON.parse(stdout).kv_bytes.value;
    };
    expect((await bytesOf("bf16")) * 2).toBe(await bytesOf("f32"));
  });

  it("draws masks into the JSON document", async () => {
    const { stdout } = await runCli(["explain", model, "--json", "--mask", "--set", "n=4"]);
    expect(JSON.parse(stdout).masks[0]).toContain("copy");
  });
});
