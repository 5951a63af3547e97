import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { catalogue, findEntry, stages } from "../../../src/diagnostics/catalogue.js";
import { renderIndex, renderPage } from "../../../src/diagnostics/render-page.js";

describe("the catalogue of diagnostics", () => {
  it("uses every code once", () => {
    const codes = catalogue.map((entry) => entry.code);
    expect(new Set(codes).size).toBe(codes.length);
  });

  it("gives every code the digits of its stage", () => {
    for (const { prefix, entries } of stages) {
      for (const { code } of entries) expect(code).toMatch(new RegExp(`^${prefix}\\d\\d$`));
    }
  });

  it("explains every code, with an example", () => {
    for (const entry of catalogue) {
      expect(entry.title, entry.code).not.toBe("");
      expect(entry.explanation.length, entry.code).toBeGreaterThan(40);
      expect(entry.example, entry.code).not.toBe("");
    }
  });

  it("finds an entry by its code, in either case", () => {
    expect(findEntry("phd0101")?.title).toBe("A name that means nothing here");
    expect(findEntry("PHD9999")).toBeUndefined();
  });

  it("has more than forty errors that a user can cause", () => {
    expect(catalogue.filter((entry) => entry.severity !== "warning").length).toBeGreaterThanOrEqual(40);
  });

  it.each(catalogue.map((entry) => [entry.code, entry] as const))("has a page for %s", async (code, entry) => {
    await expect(renderPage(entry)).toMatchFileSnapshot(`../../../docs/diagnostics/${code}.md`);
  });

  it("has an index of the pages, and no page without a code", async () => {
    await expect(renderIndex()).toMatchFileSnapshot("../../../docs/diagnostics/README.md");
    const pages = readdirSync("docs/diagnostics").filter((name) => name !== "README.md");
    expect(pages.filter((name) => findEntry(name.replace(".md", "")) === undefined)).toEqual([]);
  });
});
