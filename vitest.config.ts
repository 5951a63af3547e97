import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Two forks: the machines that run the tests have two cores, and a software adapter fills one.
    pool: "forks",
    maxWorkers: 2,
  },
});
