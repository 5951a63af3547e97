import { describe, expect, it } from "vitest";
import { validateGrammar } from "../../../src/dsl/syntax/grammar.js";
import { tokenProblems } from "../../../src/dsl/syntax/tokens.js";

describe("the grammar, whose own check compilations skip", () => {
  it("is unambiguous and does not recurse on the left", () => {
    expect(validateGrammar).not.toThrow();
  });

  it("has tokens that can all be reached", () => {
    expect(tokenProblems()).toEqual([]);
  });
});
