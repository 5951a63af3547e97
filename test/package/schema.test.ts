import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

it("publishes the schema that follows from the manifest's types", async () => {
  const script = new URL("../../scripts/manifest-schema.mjs", import.meta.url).href;
  const { manifestSchema } = (await import(/* @vite-ignore */ script)) as { manifestSchema: () => string };
  expect(readFileSync(new URL("../../schema/manifest.schema.json", import.meta.url), "utf8")).toBe(manifestSchema());
});
