import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { version } from "../../src/version.js";
import { runCli } from "./run-cli.js";

describe("a command line that cannot be understood", () => {
  it("is told what is wrong and where to look, with exit code 2", async () => {
    expect(await runCli(["compile", "model.phd", "--taget", "webgpu"])).toMatchInlineSnapshot(`
      {
        "code": 2,
        "stderr": "error[PHD0901]: Unknown option '--taget' (Did you mean --target?)
      Hint: See phdc compile --help.
      ",
        "stdout": "",
      }
    `);
    expect(await runCli(["cmpile"])).toMatchInlineSnapshot(`
      {
        "code": 2,
        "stderr": "error[PHD0901]: Unknown command 'cmpile' (Did you mean compile?)
      Hint: See phdc --help.
      ",
        "stdout": "",
      }
    `);
    expect(await runCli([])).toMatchInlineSnapshot(`
      {
        "code": 2,
        "stderr": "error[PHD0901]: A command is needed
      Hint: See phdc --help.
      ",
        "stdout": "",
      }
    `);
    expect(await runCli(["run", "model.phd", "--prompt", "x"])).toMatchInlineSnapshot(`
      {
        "code": 2,
        "stderr": "error[PHD0901]: Required option '--weights <dir>' not specified
      Hint: See phdc run --help.
      ",
        "stdout": "",
      }
    `);
    expect(await runCli(["import", "dir", "--variant", "phd-csw"])).toMatchInlineSnapshot(`
      {
        "code": 2,
        "stderr": "error[PHD0901]: Option '--variant <name>' argument 'phd-csw' is invalid. Allowed choices are vanilla, naive, phd, phd-swa, phd-cswa.
      Hint: See phdc import --help.
      ",
        "stdout": "",
      }
    `);
    expect(await runCli(["run", "m.phd", "--weights", "w", "--prompt", "x", "--top-p", "2"])).toMatchInlineSnapshot(`
      {
        "code": 2,
        "stderr": "error[PHD0901]: Option '--top-p <p>' argument '2' is invalid. It must be a number above 0 to 1.
      Hint: See phdc run --help.
      ",
        "stdout": "",
      }
    `);
    expect(await runCli(["check", "m.phd", "--set", "K"])).toMatchInlineSnapshot(`
      {
        "code": 2,
        "stderr": "error[PHD0901]: Option '--set <name=value>' argument 'K' is invalid. It must be NAME=VALUE, as in --set K=4.
      Hint: See phdc check --help.
      ",
        "stdout": "",
      }
    `);
  });

  it("is answered in JSON when it asks for JSON", async () => {
    const { code, stdout, stderr } = await runCli(["import", "--json"]);
    expect({ code, stderr, answer: JSON.parse(stdout) }).toMatchInlineSnapshot(`
      {
        "answer": {
          "diagnostics": [
            {
              "code": "PHD0901",
              "hint": "See phdc import --help.",
              "message": "Missing required argument 'dir'",
              "places": [],
              "severity": "error",
            },
          ],
        },
        "code": 2,
        "stderr": "",
      }
    `);
  });
});

describe("help and version", () => {
  it("are results", async () => {
    expect(await runCli(["--version"])).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
    const help = await runCli(["--help"]);
    expect(help).toMatchObject({ code: 0, stderr: "" });
    expect(help.stdout).toMatchInlineSnapshot(`
      "Usage: phdc [options] [command]

      Compiles length-scaled (PHD) transformers, written in .phd, to GPU kernels and host code.

      Options:
        -V, --version                output the version number
        -h, --help                   display help for command

      Commands:
        import [options] <dir>       print a model for the config.json of a Hugging Face folder
        check [options] <file>       report everything that is wrong with a model
        fmt [options] <files...>     format models
        compile [options] <file>     compile a model to a package: kernels, manifest, host module
        run [options] <file>         continue a text: only the continuation is printed
        logits [options] <file>      write the logits of given token ids to a safetensors file
        verify [options] <file>      compare a device with the float64 interpreter, and name the first op
                                     that differs
        explain [options] <subject>  document a diagnostic (PHD0123), or explain the caches and the work
                                     of a model
        inspect [options] <path>     list what a checkpoint or a compiled package holds
        bench [options] [models...]  time models of true shapes with random weights, and say what bounds
                                     the times
        tune [options] <file>        measure parameters of kernels on a device, and keep what is fastest
                                     for --tuned
        doctor [options]             say which devices there are and what will run on them
        help [command]               display help for command

      phdc COMMAND --help says more. A file named - is read from stdin.
      "
    `);
    expect((await runCli(["logits", "--help"])).stdout).toMatchInlineSnapshot(`
      "Usage: phdc logits [options] <file>

      write the logits of given token ids to a safetensors file

      Options:
        --weights <dir>      Hugging Face folder, or a .safetensors file, with the model's tensors
        --ids <path>         a JSON array, or input_ids of a safetensors file
        --prefill <n>        ids to run as the prompt; the rest is fed one by one
        -o, --output <path>  safetensors file to write
        --device <name>      where to run; one that is named is never replaced by another (choices:
                             "auto", "cuda", "cuda-emulated", "webgpu", "cpu", default: "auto")
        --dtype <type>       element type of weights and caches; auto is f16 where the device has it, else
                             f32; bf16 is for CUDA (choices: "auto", "f32", "f16", "bf16", default: "f32")
        --quantize <type>    store the weights of products as small integers with a scale per group
                             (choices: "int8", "int4")
        --group <inputs>     neighbouring inputs that share a scale, with --quantize: 16, 32, 64 or 128
                             (default: 32)
        --tuned              take what phdc tune found best on this device, where it has been run
        --set <name=value>   set a parameter of the model (repeatable) (default: none)
        --json               print one JSON document on stdout instead of text
        -h, --help           show help for logits
      "
    `);
  });

  it("tell the version of the package", () => {
    const json = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
    expect(version).toBe(json.version);
  });
});

describe("explain", () => {
  it("documents a diagnostic", async () => {
    const { code, stdout } = await runCli(["explain", "phd0522"]);
    expect(code).toBe(0);
    expect(stdout).toMatchInlineSnapshot(`
      "PHD0522: The variant has no such thing (error; Import of config.json)

      A \`window\` belongs to \`phd-swa\` and \`phd-cswa\`, a \`chunk\` to \`phd-cswa\` alone. Given with another
      variant they would have no effect, so one of the two is a mistake. Flags override the block key by
      key; \`--window none\` and \`--chunk none\` take away what the block gives.

      This causes it:

          phdc import model --variant phd --repeat 2 --chunk 32
      "
    `);
  });

  it("knows when there is none", async () => {
    expect(await runCli(["explain", "PHD9999"])).toMatchInlineSnapshot(`
      {
        "code": 2,
        "stderr": "error[PHD0907]: There is no diagnostic PHD9999
      Hint: Codes have four digits, as in PHD0401; docs/diagnostics lists them.
      ",
        "stdout": "",
      }
    `);
  });
});

describe("bench", () => {
  it("names in its help the models that it knows, and says that lists have commas", async () => {
    const { stdout } = await runCli(["bench", "--help"]);
    expect(stdout).toContain("llama-2x64, olmo2-2x64, llama-4x256");
    expect(stdout).toContain("lengths of the prompt (comma-separated) (default: 128)");
  });

  it("measures no vanilla model with copies", async () => {
    expect(await runCli(["bench", "--variant", "vanilla", "--copies", "1,2"])).toEqual({
      code: 2,
      stdout: "",
      stderr: "error[PHD0904]: --variant vanilla has one copy of every token\n",
    });
  });

  it("knows before it measures that a report cannot be written", async () => {
    expect(await runCli(["bench", "llama-2x64", "--html", "src"])).toEqual({
      code: 1,
      stdout: "",
      stderr: "error[PHD0802]: src cannot be written: it is a folder\n",
    });
  });
});
