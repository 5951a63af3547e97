import { describe, expect, it } from "vitest";
import {
  addSizes,
  constantSize,
  divideSizes,
  Equations,
  multiplySizes,
  opaqueSize,
  symbolSize,
} from "../../../src/dsl/check/size.js";

const heads = symbolSize("heads", 4);
const width = symbolSize("head_dim", 8);
const dim = symbolSize("dim", 32);
const none = new Equations();

describe("sizes in the model's words", () => {
  it("are equal as polynomials, in any order", () => {
    expect(none.equal(multiplySizes(heads, width), multiplySizes(width, heads))).toBe(true);
    expect(none.equal(addSizes(dim, dim), multiplySizes(constantSize(2), dim))).toBe(true);
    expect(none.equal(addSizes(addSizes(dim, heads), heads, -1), dim)).toBe(true);
  });

  it("are not equal because their values are", () => {
    expect(multiplySizes(heads, width).value).toBe(dim.value);
    expect(none.equal(multiplySizes(heads, width), dim)).toBe(false);
  });

  it("keep the words of the model", () => {
    expect(multiplySizes(heads, width).text).toBe("heads * head_dim");
    expect(multiplySizes(addSizes(heads, constantSize(1)), width).text).toBe("(heads + 1) * head_dim");
    expect(opaqueSize("div", dim, heads, 8).text).toBe("dim div heads");
  });

  it("divide by what they are a product of", () => {
    expect(divideSizes(multiplySizes(heads, width), heads).text).toBe("head_dim");
    expect(divideSizes(multiplySizes(constantSize(4), dim), constantSize(2)).text).toBe("2 * dim");
    expect(divideSizes(dim, heads).text).toBe("dim div heads");
  });

  it("become numbers before they grow without bound", () => {
    let size = addSizes(heads, width);
    for (let round = 0; round < 40; round++) size = multiplySizes(size, addSizes(heads, width));
    expect(size.text.length).toBeLessThan(200);
  });
});

describe("stated equations", () => {
  it("make the two sides the same size, inside larger sizes too", () => {
    const equations = new Equations();
    equations.learn(dim, multiplySizes(heads, width));
    expect(equations.equal(dim, multiplySizes(width, heads))).toBe(true);
    expect(
      equations.equal(multiplySizes(constantSize(3), dim), multiplySizes(multiplySizes(heads, constantSize(3)), width)),
    ).toBe(true);
  });

  it("follow from each other", () => {
    const equations = new Equations();
    const inner = symbolSize("inner", 32);
    equations.learn(inner, dim);
    equations.learn(dim, multiplySizes(heads, width));
    expect(equations.equal(inner, multiplySizes(heads, width))).toBe(true);
  });

  it("hold where no name stands alone", () => {
    const equations = new Equations();
    const groups = symbolSize("groups", 2);
    const wide = symbolSize("wide", 16);
    equations.learn(multiplySizes(heads, width), multiplySizes(groups, wide));
    expect(equations.equal(multiplySizes(groups, wide), multiplySizes(heads, width))).toBe(true);
    expect(equations.equal(wide, multiplySizes(constantSize(2), width))).toBe(false);
  });
});
