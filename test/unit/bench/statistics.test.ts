import { expect, it } from "vitest";
import { median, summarise } from "../../../src/bench/statistics.js";

it("shows the middle and the quartiles of measurements in any order", () => {
  expect(summarise([5, 1, 4, 2, 3])).toEqual({
    ...{ median: 3, lowerQuartile: 2, upperQuartile: 4, least: 1, most: 5, count: 5 },
  });
  expect(median([4, 1])).toBe(2.5);
  expect(summarise([7])).toMatchObject({ median: 7, lowerQuartile: 7, upperQuartile: 7 });
});
