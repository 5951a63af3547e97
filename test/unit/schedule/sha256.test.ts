import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { sha256 } from "../../../src/schedule/sha256.js";

it("hashes kernel texts of every length as the platform does", () => {
  for (const length of [0, 1, 3, 54, 55, 56, 57, 63, 64, 65, 119, 120, 1000]) {
    const text = "kernel ✓ ".repeat(120).slice(0, length);
    expect(sha256(text)).toBe(createHash("sha256").update(text).digest("hex"));
  }
});
