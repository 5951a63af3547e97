import { describe, expect, it } from "vitest";
import { emitCuda } from "../../../src/backends/cuda/module.js";
import { cudaPreamble } from "../../../src/backends/cuda/preamble.js";
import { addBias, rmsNorm } from "../kernel-ir/example-kernels.js";
import { bf16Product, stagedProduct } from "../kernel-ir/matrix-kernels.js";
import { subgroupConstructs } from "../wgsl/construct-kernels.js";

describe("emitted CUDA", () => {
  it("takes buffers as pointers and params as a struct, under the author's names", () => {
    expect(emitCuda(addBias())).toMatchInlineSnapshot(`
      "// add_bias: Adds bias to every row of x. One invocation per element.
      // From examples/phd-2.phd:12.
      // Launch: ceil(rows * width / 64) workgroups, 64 threads each.
      #include "phdc.cuh"

      struct add_bias_params {
        u32 rows;
        u32 width;
      };

      extern "C" __global__ void __launch_bounds__(64)
      add_bias(buffer<f32> x, buffer<const f32> bias, const add_bias_params params) {
        const u32 index = blockIdx.x * 64u + threadIdx.x;
        if (index < params.rows * params.width) {
          store(x, index, x[index] + bias[index % params.width]);
        }
      }
      "
    `);
  });

  it("multiplies matrix fragments with the weights on the left", () => {
    expect(emitCuda(bf16Product())).toMatchInlineSnapshot(`
      "// bf16_product: Multiplies 16 outputs of the packed weights with eight rows of x per subgroup.
      // Launch: outputs / 64 workgroups, 128 threads each.
      #include "phdc.cuh"

      struct bf16_product_params {
        u32 depth;
        u32 outputs;
      };

      extern "C" __global__ void __launch_bounds__(128)
      bf16_product(
        buffer<const vec4<u32>> weights,
        produced<const u32> x,
        buffer<f32> y,
        const bf16_product_params params
      ) {
        const u32 lane = threadIdx.x % 32u;
        const u32 band = blockIdx.x * 4u + threadIdx.x / 32u;
        const u32 tiles = params.depth / 16u;
        const u32 row = lane / 4u;
        vec4<f32> sum = vec4<f32>{0.0f, 0.0f, 0.0f, 0.0f};
        for (u32 tile = 0u; tile < tiles; tile += 1u) {
          const vec4<u32> a = weights[(band * tiles + tile) * 32u + lane];
          const u32 pair = row * (params.depth / 2u) + tile * 8u + lane % 4u;
          const vec2<u32> b = vec2<u32>{x[pair], x[pair + 4u]};
          const vec4<f32> product = mma_m16n8k16<bf16>(a, b, sum);
          sum = product;
        }
        const u32 output = lane / 4u;
        const u32 column = lane % 4u * 2u;
        store(y, column * params.outputs + band * 16u + output, sum.x);
        store(y, (column + 1u) * params.outputs + band * 16u + output, sum.y);
        store(y, column * params.outputs + band * 16u + (output + 8u), sum.z);
        store(y, (column + 1u) * params.outputs + band * 16u + (output + 8u), sum.w);
      }
      "
    `);
  });

  it("holds no PTX outside of the preamble", () => {
    expect(cudaPreamble()).toContain("mma.sync.aligned.m16n8k16");
    for (const kernel of [bf16Product(), stagedProduct(), rmsNorm({ subgroups: { minSize: 32, maxSize: 32 } })]) {
      expect(emitCuda(kernel)).not.toMatch(/\basm\b/);
    }
  });

  it("is refused where warps would be incomplete", () => {
    expect(() => emitCuda(subgroupConstructs())).toThrow("16 invocations, which are no whole warps");
  });
});
