/**
 * Golden cases: `test/cases/<pass>/*.phdir` holds what a case shows, the passes it runs, a graph, and the graph they make of it.
 *
 * `UPDATE_CASES=1` writes what the passes give; read the difference before you keep it.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseGraph } from "../../../src/ir/graph/parse.js";
import { printGraph } from "../../../src/ir/graph/print.js";
import { fuse } from "../../../src/passes/fuse/fuse.js";
import { runPasses } from "../../../src/passes/pass.js";
import { graphPipeline } from "../../../src/passes/pipeline.js";

const folder = join(import.meta.dirname, "../../cases");
const pages = join(import.meta.dirname, "../../../docs/passes");
const separator = "# expect:\n";
const passNames = [...new Set(graphPipeline.map(({ name }) => name))];

describe("golden cases", () => {
  it("there is a folder and a page for every pass", () => {
    expect(readdirSync(folder).sort()).toEqual([...passNames].sort());
    expect(readdirSync(pages)).toEqual(expect.arrayContaining(passNames.map((name) => `${name}.md`)));
  });

  for (const pass of passNames) {
    for (const file of readdirSync(join(folder, pass))) {
      const path = join(folder, pass, file);
      it(`${pass}/${file}: ${titleOf(readFileSync(path, "utf8"))}`, () => {
        const [given, expected] = readFileSync(path, "utf8").split(separator) as [string, string | undefined];
        const actual = printGraph(runPasses(passesOf(given, path), parseGraph(given), undefined, knownOf(given)));
        if (process.env["UPDATE_CASES"] === "1") writeFileSync(path, `${given}${separator}${actual}`);
        else expect(actual).toBe(expected);
      });
    }
  }
});

/** The first sentence of the comment that opens the case. */
function titleOf(text: string): string {
  return text
    .slice(2)
    .replaceAll("\n# ", " ")
    .split(/[.:]\s/)[0]!;
}

function passesOf(given: string, path: string) {
  const names = /^# run: (.*)$/m.exec(given)?.[1]?.split(", ") ?? [];
  return names.map((name) => {
    const pass = graphPipeline.find((each) => each.name === name);
    if (pass === undefined) throw new Error(`${path} runs ${name}, which is no pass`);
    return pass;
  });
}

/** Cases of the fusions start from fused operations. */
function knownOf(given: string): readonly ["fuse"] | readonly [] {
  const name = /^# run: ([\w-]+)/m.exec(given)?.[1];
  return fuse.slice(1).some((pass) => pass.name === name) ? ["fuse"] : [];
}
