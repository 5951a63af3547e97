import { describe, expect, it } from "vitest";
import { emitWgsl } from "../../../src/backends/wgsl/module.js";
import { buildKernel, f32, type KernelBuilder, select, vector } from "../../../src/ir/kernel/builder.js";
import { controlConstructs } from "./construct-kernels.js";

const options = { doc: "A trial.", dispatch: "one workgroup", workgroupSize: 64 };

/** The statements of a kernel's entry point. */
function bodyOf(body: (k: KernelBuilder) => void): string {
  const text = emitWgsl(buildKernel("trial", options, body));
  return text.slice(text.indexOf(" {\n", text.indexOf("fn trial")) + 3, -3).replaceAll(/^ {2}/gm, "");
}

describe("emitted WGSL", () => {
  it("says what a kernel does, where it came from, and how it is started", () => {
    const kernel = buildKernel("add_one", { ...options, origin: "examples/phd-2.phd:12" }, (k) => {
      const x = k.readWrite("x", "vec4<f32>");
      k.if(k.globalId.lt(k.param("count")), () => x.set(k.globalId, x.at(k.globalId).add(1)));
    });
    expect(emitWgsl(kernel)).toMatchInlineSnapshot(`
      "// add_one: A trial.
      // From examples/phd-2.phd:12.
      // Dispatch: one workgroup.

      struct Params {
        count: u32,
      }

      @group(0) @binding(0) var<storage, read_write> x: array<vec4<f32>>;
      @group(0) @binding(1) var<uniform> params: Params;

      @compute @workgroup_size(64)
      fn add_one(@builtin(global_invocation_id) global_id: vec3<u32>) {
        if (global_id.x < params.count) {
          x[global_id.x] += vec4<f32>(1.0f);
        }
      }
      "
    `);
  });

  it("keeps the parentheses that WGSL needs and no others", () => {
    const text = bodyOf((k) => {
      const a = k.let("a", k.localId);
      const b = k.let("b", k.workgroupId.x);
      const out = k.readWrite("out", "u32");
      const tests = k.readWrite("tests", "vec2<u32>");
      out.set(0, a.sub(b.sub(a)).add(b).mul(a.add(b)).div(a.mul(b)).rem(b));
      out.set(1, a.shl(b.add(1)).bitOr(a.mul(b)).bitOr(3).bitAnd(a.shr(2)));
      out.set(2, 1, {
        when: a
          .lt(b)
          .and(a.gt(3))
          .and(b.eq(2).or(a.ne(b)))
          .not(),
      });
      // `a < b >> 2` and `f(a < b, b > a)` would open template lists.
      out.set(3, 1, { when: a.lt(b.shr(2)) });
      tests.set(0, select(vector("bool", [a.lt(b), b.gt(a)]), vector("u32", [a, b]), vector("u32", [b, a])));
    });
    expect(text).toMatchInlineSnapshot(`
      "let a = local_id;
      let b = workgroup_id.x;
      out[0u] = (a - (b - a) + b) * (a + b) / (a * b) % b;
      out[1u] = ((a << (b + 1u)) | (a * b) | 3u) & (a >> 2u);
      if (!(a < b && a > 3u && (b == 2u || a != b))) {
        out[2u] = 1u;
      }
      if (a < (b >> 2u)) {
        out[3u] = 1u;
      }
      tests[0u] = select(vec2<u32>(b, a), vec2<u32>(a, b), vec2<bool>((a < b), (b > a)));"
    `);
  });

  it("avoids words that WGSL reserves", () => {
    const text = emitWgsl(controlConstructs());
    expect(text).toContain("var<storage, read> filter_1: array<f32>;");
    expect(text).toContain("var max_1 = 0.0f;");
    expect(text).toContain("var<workgroup> shared_1: array<f32, 16>;");
  });

  it("writes unrolled loops out, with constant indices into registers", () => {
    const text = bodyOf((k) => {
      const x = k.read("x", "f32");
      const sums = k.registers("sums", "f32", 2);
      k.for("row", { to: 2, unroll: true }, (row) => {
        const value = k.let("value", x.at(row.mul(64).add(k.localId)));
        sums.set(row, sums.at(row).add(value.mul(row.toF32())));
      });
    });
    expect(text).toMatchInlineSnapshot(`
      "var sums: array<f32, 2>;
      let value = x[local_id];
      sums[0u] += value * 0.0f;
      let value_1 = x[64u + local_id];
      sums[1u] += value_1 * 1.0f;"
    `);
  });

  it("spells extreme numbers so that they read back exactly", () => {
    const text = bodyOf((k) => {
      const out = k.readWrite("out", "f32");
      out.set(0, 1.1754943508222875e-38);
      out.set(1, f32(1 / 3).sub(f32(-0)));
      out.set(2, 16777216, { when: k.localId.eq(4294967295) });
    });
    expect(text).toMatchInlineSnapshot(`
      "out[0u] = 1.1754944e-38f;
      out[1u] = 0.33333334f - -0.0f;
      if (local_id == 0xffffffffu) {
        out[2u] = 16777216.0f;
      }"
    `);
  });
});
