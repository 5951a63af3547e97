import { describe, expect, it } from "vitest";
import { cudaCapabilities } from "../../../src/backends/cuda/capabilities.js";
import { emitCuda } from "../../../src/backends/cuda/module.js";
import { buildKernel } from "../../../src/ir/kernel/builder.js";
import { portableCapabilities } from "../../../src/ir/kernel/capabilities.js";
import { withDependentLaunch } from "../../../src/ir/kernel/dependent-launch.js";
import { parseKernel } from "../../../src/ir/kernel/parse.js";
import { printKernel } from "../../../src/ir/kernel/print.js";
import { findMisfits, verifyKernel } from "../../../src/ir/kernel/verify.js";
import { addBias } from "./example-kernels.js";

/** Reads weights before it waits. */
function eager() {
  const options = { doc: "Scales x.", dispatch: "one workgroup", workgroupSize: 32, resident: 2 };
  return buildKernel("eager", options, (k) => {
    const x = k.readWrite("x", "f32");
    const gain = k.let("gain", k.read("weight", "f32", "weight").at(k.localId));
    k.awaitPrevious();
    x.set(k.localId, x.at(k.localId).mul(gain));
  });
}

describe("a kernel that may begin before the one before it has ended", () => {
  it("waits first thing and then releases the next", () => {
    const kernel = withDependentLaunch(addBias(), cudaCapabilities);
    verifyKernel(kernel);
    expect(kernel.requires).toContain("dependent-launch");
    expect(kernel.body.slice(0, 2).map(({ kind }) => kind)).toEqual(["await-previous", "release-next"]);
    expect(emitCuda(kernel)).toContain("await_previous();\n  release_next();\n");
  });

  it("waits where it says so itself", () => {
    const kernel = eager();
    expect(withDependentLaunch(kernel, cudaCapabilities)).toBe(kernel);
  });

  it("is no other kernel on devices that start one after the other, and does not fit them once it waits", () => {
    const kernel = addBias();
    expect(withDependentLaunch(kernel, portableCapabilities)).toBe(kernel);
    expect(findMisfits(eager(), portableCapabilities)).toEqual(["needs dependent-launch"]);
  });

  it("is read back from its text, with how many workgroups a processor should hold", () => {
    const text = printKernel(eager());
    expect(text).toContain("kernel eager workgroup 32 resident 2 {");
    expect(text).toContain("await_previous");
    expect(printKernel(parseKernel(text))).toBe(text);
    expect(emitCuda(eager())).toContain("__launch_bounds__(32, 2)");
  });
});
