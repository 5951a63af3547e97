import { describe, expect, it } from "vitest";
import { cudaCapabilities } from "../../../src/backends/cuda/capabilities.js";
import { emitCuda } from "../../../src/backends/cuda/module.js";
import { emitWgsl } from "../../../src/backends/wgsl/module.js";
import { buildKernel } from "../../../src/ir/kernel/builder.js";
import { portableCapabilities } from "../../../src/ir/kernel/capabilities.js";
import { withDependentLaunch } from "../../../src/ir/kernel/dependent-launch.js";
import { parseKernel } from "../../../src/ir/kernel/parse.js";
import { printKernel } from "../../../src/ir/kernel/print.js";
import { findMisfits, verifyKernel } from "../../../src/ir/kernel/verify.js";
import { addBias } from "./example-kernels.js";

/** Reads a gain before it waits, which nobody else does. */
function eager() {
  const options = { doc: "Scales x.", dispatch: "one workgroup", workgroupSize: 32, resident: 2 };
  return buildKernel("eager", options, (k) => {
    const x = k.readWrite("x", "f32");
    const weight = k.readOnce("weight", "f32");
    const gain = k.let("gain", weight.at(k.localId));
    k.prefetch(weight, 32, 64);
    k.awaitPrevious();
    x.set(k.localId, x.at(k.localId).mul(gain));
  });
}

describe("a kernel that may begin before the one before it has ended", () => {
  it("releases the next and waits, first thing", () => {
    const kernel = withDependentLaunch(addBias(), cudaCapabilities);
    verifyKernel(kernel);
    expect(kernel.requires).toContain("dependent-launch");
    expect(kernel.body.slice(0, 2).map(({ kind }) => kind)).toEqual(["release-next", "await-previous"]);
    expect(emitCuda(kernel)).toContain("release_next();\n  await_previous();\n");
  });

  it("waits where it says so itself", () => {
    const kernel = eager();
    expect(withDependentLaunch(kernel, cudaCapabilities)).toBe(kernel);
  });

  it("loads in CUDA what is read once by a load that stays before the wait, and in WGSL like anything else", () => {
    expect(emitCuda(eager())).toContain(
      "const f32 gain = load_once(weight, threadIdx.x);\n  prefetch(weight, 32u, 64u);\n  await_previous();",
    );
    const { body, ...kernel } = eager();
    const portable = body.filter(({ kind }) => kind !== "await-previous" && kind !== "prefetch");
    expect(emitWgsl({ ...kernel, body: portable, requires: [] })).toContain("let gain = weight[local_id];");
  });

  it("does not take what earlier kernels write for constant memory", () => {
    const kernel = buildKernel("copy", { doc: "Copies.", dispatch: "one workgroup", workgroupSize: 32 }, (k) => {
      const from = k.read("from", "f32");
      const gain = k.read("gain", "f32", "weight");
      k.readWrite("to", "f32").set(k.localId, from.at(k.localId).mul(gain.at(k.localId)));
    });
    expect(emitCuda(kernel)).toContain("copy(produced<const f32> from, buffer<const f32> gain, buffer<f32> to)");
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
    expect(text).toContain("buffer weight: f32 read weight once");
    expect(text).toContain("prefetch weight[32u] count 64");
    expect(printKernel(parseKernel(text))).toBe(text);
    expect(emitCuda(eager())).toContain("__launch_bounds__(32, 2)");
  });
});
