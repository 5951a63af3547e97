/** What the README shows is what the compiler takes. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { compileSource } from "../../src/compile.js";
import { renderDiagnostics } from "../../src/diagnostics/render-terminal.js";
import { portableCapabilities } from "../../src/ir/kernel/capabilities.js";
import { runCli } from "./run-cli.js";

const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
const [model, predicate] = [...readme.matchAll(/```phd\n([\s\S]*?)```/g)].map(([, text]) => text!);

function compile(text: string) {
  const source = { name: "readme.phd", text };
  const { diagnostics, program } = compileSource(source, {
    target: "webgpu",
    dtype: "f32",
    capabilities: portableCapabilities,
  });
  expect(renderDiagnostics(diagnostics)).toBe("");
  return program!;
}

it("compiles the README's model", () => {
  expect(compile(model!).manifest.model.name).toBe("Shakespeare");
  expect(model!.trim().split("\n").length).toBeLessThanOrEqual(22);
});

it("compiles the README's model with the README's predicate", () => {
  const attend = /attend .*\n/;
  expect(compile(model!.replace(attend, predicate!)).graph.copies).toBe(3);
});

it("knows every command that the README lists", async () => {
  const listed = [...readme.matchAll(/^\| ((?:`[^|]+` ?)+)\|/gm)].flatMap(([, cell]) => cell!.match(/[a-z]+/g)![0]!);
  const { stdout } = await runCli(["--help"]);
  expect(listed.length).toBeGreaterThan(7);
  for (const name of listed) expect(stdout).toMatch(new RegExp(`^  ${name} `, "m"));
});
