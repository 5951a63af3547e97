/**
 * Golden cases: `test/cases/<pass>/*.phdir` holds what a case shows, the passes it runs, a graph, and the graph they make of it.
 *
 * `UPDATE_CASES=1` writes what the passes give; read the difference before you keep it.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Graph } from "../../../src/ir/graph/ops.js";
import { parseGraph } from "../../../src/ir/graph/parse.js";
import { printGraph } from "../../../src/ir/graph/print.js";
import { analyseTokens } from "../../../src/passes/analyse-tokens.js";
import { fuse } from "../../../src/passes/fuse/fuse.js";
import { runPasses } from "../../../src/passes/pass.js";
import { graphPipeline, tokenPipeline } from "../../../src/passes/pipeline.js";
import type { Retention } from "../../../src/passes/tokens/infer-retention.js";

const folder = join(import.meta.dirname, "../../cases");
const pages = join(import.meta.dirname, "../../../docs/passes");
const separator = "# expect:\n";
const passNames = [...new Set(graphPipeline.map(({ name }) => name))];

describe("golden cases", () => {
  it("there is a folder and a page for every pass and analysis", () => {
    const names = [...passNames, "infer-retention"];
    // `work` holds what the laws count.
    const folders = readdirSync(folder).filter((name) => name !== "work");
    expect(folders.sort()).toEqual(names.sort());
    expect(readdirSync(pages)).toEqual(expect.arrayContaining(names.map((name) => `${name}.md`)));
  });

  for (const file of readdirSync(join(folder, "infer-retention"))) {
    const path = join(folder, "infer-retention", file);
    it(`infer-retention/${file}: ${titleOf(readFileSync(path, "utf8"))}`, () => {
      expectCase(path, (given) => retentionText(runPasses(tokenPipeline, parseGraph(given))));
    });
  }

  for (const pass of passNames) {
    for (const file of readdirSync(join(folder, pass))) {
      const path = join(folder, pass, file);
      it(`${pass}/${file}: ${titleOf(readFileSync(path, "utf8"))}`, () => {
        expectCase(path, (given) =>
          printGraph(runPasses(passesOf(given, path), parseGraph(given), undefined, knownOf(given))),
        );
      });
    }
  }
});

function expectCase(path: string, run: (given: string) => string): void {
  const [given, expected] = readFileSync(path, "utf8").split(separator) as [string, string | undefined];
  const actual = run(given);
  if (process.env["UPDATE_CASES"] === "1") writeFileSync(path, `${given}${separator}${actual}`);
  else expect(actual).toBe(expected);
}

/** A line per layer, as a comment, so that the file stays graph text: `# layer 0: originals forever, hidden ring 16 in chunk 32`. */
function retentionText(graph: Graph): string {
  const words = ({ group, layout }: Retention): string => {
    if (layout.kind === "ring") return `${group} ring ${layout.slots}`;
    return layout.kind === "ring-in-chunk"
      ? `${group} ring ${layout.slots} in chunk ${layout.chunk}`
      : `${group} ${layout.kind}`;
  };
  const { retention } = analyseTokens(graph);
  return retention.map((layer, index) => `# layer ${index}: ${layer.map(words).join(", ")}\n`).join("");
}

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
