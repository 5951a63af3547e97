import { describe, expect, it } from "vitest";
import { InternalError } from "../../../src/diagnostics/diagnostic.js";
import { evaluate } from "../../../src/ir/expr.js";
import { portableCapabilities } from "../../../src/ir/kernel/capabilities.js";
import { embed } from "../../../src/kernels/elementwise/embed.js";
import type { Manifest, Step } from "../../../src/runtime/manifest.js";
import { shapeSession } from "../../../src/runtime/shape.js";
import { finishStep } from "../../../src/schedule/step-builder.js";
import { predicateOf } from "../../support/predicates.js";
import { scheduleGraph } from "../../support/scheduled.js";
import { buildTransformer, type TransformerShape } from "../../support/transformer.js";

const shape: TransformerShape = {
  ...{ vocab: 50, layers: 4, dim: 32, heads: 4, kvHeads: 2, headDim: 8, ffn: 48, copies: 3 },
  predicate: predicateOf({ variant: "phd-cswa", copies: 3, window: 4, chunk: 8 }),
};
const manifests = new Map<string, Manifest>();

/** Most tests look at the same few models; each is scheduled once. */
function manifestOf(changes: Partial<TransformerShape> = {}): Manifest {
  const key = JSON.stringify(changes);
  const known = manifests.get(key) ?? scheduleGraph(buildTransformer({ ...shape, ...changes })).manifest;
  manifests.set(key, known);
  return known;
}

const stepsOf = (manifest: Manifest, phase: "prefill" | "decode", layer: number): readonly Step[] => {
  const { layer: classes, classOf } = manifest.phases[phase];
  return classes[classOf[layer]!]!;
};
const namesOf = (steps: readonly Step[]) =>
  steps.map(({ name, rows }) => (rows ? `${name} (${rows})` : name)).join("\n");
const unlimited = {
  maxBufferSize: Number.MAX_SAFE_INTEGER,
  maxStorageBufferBindingSize: Number.MAX_SAFE_INTEGER,
};

describe("the steps of a layer", () => {
  it("are six in decode, of which one runs only where splits are merged by a product or by themselves", () => {
    expect(namesOf(stepsOf(manifestOf(), "decode", 0))).toMatchInlineSnapshot(`
      "multiply by q_proj.k_proj.v_proj (input)
      finish queries and keys, and attend for attention (query)
      merge splits of attention (query)
      merge splits and multiply by o_proj (query)
      multiply by o_proj (query)
      multiply by gate_proj.up_proj (query)
      multiply by down_proj (query)"
    `);
  });

  it("keep rings out of a prefill slice, and compute queries of the last layer for the predicting rows only", () => {
    expect(namesOf(stepsOf(manifestOf(), "prefill", 3))).toMatchInlineSnapshot(`
      "multiply by q_proj.k_proj.v_proj (query)
      multiply by q_proj.k_proj.v_proj (input)
      store keys for query (input)
      finish queries for query (query)
      take over kept keys of hidden
      attend for attention (query)
      keep the last keys of hidden
      multiply by o_proj (query)
      multiply by gate_proj.up_proj (query)
      multiply by down_proj (query)"
    `);
  });

  it("differ between layers only where demand or retention does", () => {
    const { prefill, decode } = manifestOf({ predicate: predicateOf({ variant: "phd", copies: 3 }) }).phases;
    expect(prefill.classOf).toEqual([0, 0, 0, 1]);
    expect(decode.classOf).toEqual([0, 0, 0, 0]);
  });

  it("do not move keys of groups that no step keeps", () => {
    const steps = stepsOf(manifestOf({ predicate: predicateOf({ variant: "phd", copies: 3 }) }), "prefill", 0);
    expect(steps.filter(({ bindings }) => Object.values(bindings).some(({ kind }) => kind === "store"))).toEqual([]);
  });
});

describe("the residual stream", () => {
  it("stays in one buffer from the embedding to the head", () => {
    const manifest = manifestOf();
    const { before, layer, after } = manifest.phases.decode;
    const outputOf = ({ bindings }: Step) => bindings["output"];
    const stream = outputOf(before[0]!);
    expect(stream?.kind).toBe("buffer");
    const writers = layer[0]!.filter(({ bindings }) => JSON.stringify(bindings["output"]) === JSON.stringify(stream));
    expect(writers.map(({ name }) => name)).toEqual([
      "merge splits and multiply by o_proj",
      "multiply by o_proj",
      "multiply by down_proj",
    ]);
    expect(after[0]!.bindings["input"]).toEqual(stream);
  });

  it("never shares memory with what is alive beside it", () => {
    for (const postNorm of [false, true]) {
      const manifest = manifestOf({ postNorm, queryKeyNorm: "row", bias: true });
      const slotOf = new Map(manifest.buffers.map(({ name, slot }) => [name, slot]));
      for (const steps of [...manifest.phases.prefill.layer, ...manifest.phases.decode.layer]) {
        for (const { name, bindings } of steps) {
          const bound = Object.values(bindings).flatMap((source) => (source.kind === "buffer" ? [source.name] : []));
          const slots = [...new Set(bound)].map((buffer) => slotOf.get(buffer));
          expect(new Set(slots).size, name).toBe(slots.length);
        }
      }
    }
  });
});

describe("weights", () => {
  it("of the projections stand together, with zeros where a bias is missing in the concatenation", () => {
    const { weights } = manifestOf({ bias: true });
    const bias = weights.find(({ sources }) => sources[0]!.tensor.endsWith("q_proj.bias"))!;
    expect(bias).toMatchObject({ perLayer: true, rows: 64, columns: 1, element: "f32" });
    expect(bias.sources.map(({ row }) => row)).toEqual([0, 32, 48]);
    const matrix = weights.find(({ sources }) => sources[0]!.tensor.endsWith("q_proj.weight"))!;
    expect(matrix).toMatchObject({ rows: 64, columns: 32 });
  });

  it("of a tied head are the embedding table, stored once", () => {
    const vocabulary = ({ weights }: Manifest) => weights.filter(({ rows }) => rows === shape.vocab).length;
    expect(vocabulary(manifestOf())).toBe(2);
    expect(vocabulary(manifestOf({ tied: true }))).toBe(1);
  });
});

describe("memory", () => {
  it("is foretold by the formulas to the rounding of buffers", () => {
    for (const variant of ["phd", "naive", "phd-swa", "phd-cswa"]) {
      const manifest = manifestOf({ predicate: predicateOf({ variant, copies: 3, window: 4, chunk: 8 }) });
      const session = shapeSession(manifest, { batch: 2, context: 100, slice: 16, splits: 4 }, unlimited);
      const sum = (...purposes: string[]) =>
        session.buffers
          .filter(({ purpose }) => purposes.includes(purpose))
          .reduce((total, { bytes }) => total + bytes, 0);
      const working = sum("working", "scratch", "table");
      expect(evaluate(manifest.memory.caches, session.symbols)).toBe(sum("cache"));
      const foretold = evaluate(manifest.memory.working, session.symbols);
      expect(Math.abs(foretold - working)).toBeLessThanOrEqual(16 * session.buffers.length);
    }
  });
});

describe("kernels", () => {
  it("are the same for 80 layers as for 40, and so is all of the manifest that is not per layer", () => {
    // A few layers below the last, demand has reached its fixed point: that depth is what the plan depends on.
    const [few, many] = [manifestOf({ layers: 40 }), manifestOf({ layers: 80 })];
    expect(many.kernels).toEqual(few.kernels);
    expect(many.phases.decode.layer).toEqual(few.phases.decode.layer);
    expect(many.stores.distinct).toEqual(few.stores.distinct);
  });

  it("keep the limits of every WebGPU device", () => {
    for (const positions of ["shared", "interleaved"] as const) {
      const { kernels, requires } = manifestOf({ positions, queryKeyNorm: "head", bias: true });
      for (const { name, bindings, sharedMemoryBytes, workgroupSize } of kernels) {
        expect(bindings.length, name).toBeLessThanOrEqual(8);
        expect(sharedMemoryBytes, name).toBeLessThanOrEqual(16384);
        expect(workgroupSize[0], name).toBeLessThanOrEqual(256);
      }
      expect(requires).toEqual({ features: [], limits: {} });
    }
  });

  it("of a device without room for tiles are skinny ones alone", () => {
    const limits = { ...portableCapabilities.limits, maxWorkgroupMemory: 8192 };
    const { manifest } = scheduleGraph(buildTransformer(shape), { capabilities: { ...portableCapabilities, limits } });
    const names = manifest.kernels.map(({ name }) => name);
    expect(names.filter((name) => name.startsWith("linear_norm_pair") && name.endsWith("tiled"))).toEqual([]);
  });
});

describe("a step", () => {
  it("cannot leave a binding or a parameter of its kernel open", () => {
    const kernel = embed({ width: 4, element: "f32" });
    const choices = [{ kernel, workgroups: [1, 1, 1] as const }];
    const source = { kind: "buffer", name: "x" } as const;
    expect(() => finishStep({ name: "s", choices, bindings: { control: source } })).toThrow(InternalError);
    const bindings = { control: source, weight: source, output: source };
    expect(finishStep({ name: "s", choices, bindings }).choices[0]!.parameters["row_base"]).toBe("row_base");
  });
});
