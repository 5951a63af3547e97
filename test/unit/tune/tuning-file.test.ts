import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { defaultTuning } from "../../../src/kernels/tuning.js";
import { readTuning, tuningFile } from "../../../src/tune/tuning-file.js";

const adapter = { vendor: "acme", architecture: "rocket-1", device: "0x1234", driver: "Rocket 535.2" };
const tuning = { ...defaultTuning, skinnyOutputs: 8 };
const file = tuningFile(adapter, "model.phd", {
  defaults: { prefillMs: 2, decodeMs: 1 },
  trials: [],
  tuning,
  ratio: 0.9,
});

describe("a stored tuning", () => {
  it("comes back as it was measured", () => {
    expect(readTuning(JSON.stringify(file), adapter)).toEqual(tuning);
  });

  it.each([
    ["of another adapter", { ...file, adapter: { ...adapter, device: "0x9999" } }, "another adapter or driver"],
    ["of another driver", { ...file, adapter: { ...adapter, driver: "Rocket 540" } }, "another adapter or driver"],
    ["of another compiler", { ...file, generator: "phdc 0.0.1" }, "measured by phdc 0.0.1"],
    ["of another kind", { ...file, format: "phdc-package" }, "it is no tuning"],
    ["with a value that is not tried", { ...file, tuning: { ...tuning, skinnyRows: 5 } }, "skinnyRows is 5"],
    ["with a value missing", { ...file, tuning: { skinnyOutputs: 4 } }, "is undefined"],
    ["without values", { ...file, tuning: undefined }, "is undefined"],
  ])("%s is refused with the reason", (_, changed, reason) => {
    const found = readTuning(JSON.stringify(changed), adapter);
    expect(found).toHaveProperty("refused");
    expect((found as { refused: string }).refused).toContain(reason);
  });

  it("that is cut or garbled is refused, never half taken", () => {
    const text = JSON.stringify(file);
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.string({ maxLength: 3 }), (at, garbage) => {
        for (const broken of [text.slice(0, at), text.slice(0, at) + garbage + text.slice(at + garbage.length)]) {
          const found = readTuning(broken, adapter);
          if ("refused" in found) continue;
          // What is taken has values that were measured somewhere, whatever the garbage was.
          expect(Object.keys(found).sort()).toEqual(Object.keys(tuning).sort());
        }
      }),
    );
    for (const text of ["", "null", "[]", "7", '"phdc-tuning"']) {
      expect(readTuning(text, adapter)).toHaveProperty("refused");
    }
  });
});
