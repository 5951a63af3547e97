import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

it.each(["manifest", "bench"])("publishes the schema that follows from the types of a %s", async (name) => {
  const script = new URL("../../scripts/manifest-schema.mjs", import.meta.url).href;
  const schemas = (await import(/* @vite-ignore */ script)) as Record<string, () => string>;
  const published = readFileSync(new URL(`../../schema/${name}.schema.json`, import.meta.url), "utf8");
  expect(published).toBe(schemas[`${name}Schema`]!());
});
