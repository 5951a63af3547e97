/**
 * A model small enough to be written by hand: kernels as text, a manifest as a literal, and the same computation in ten lines.
 *
 * Its arithmetic is exact (integers modulo 97 in floats), so results are compared for equality; its visibility is that of a sliding
 * window over hidden tokens. Per layer: x += sum of the values of all visible keys, where key = value = x; the head weighs components.
 */

import { memorySource } from "../../../src/runtime/byte-source.js";
import { type Checkpoint, openSafetensors } from "../../../src/runtime/checkpoint.js";
import { bytesOf } from "../../../src/runtime/dtype.js";
import type { Manifest } from "../../../src/runtime/manifest.js";
import { writeSafetensors } from "../../../src/runtime/safetensors.js";

export const vocab = 23;
const dim = 4;
const modulus = 97;

export interface ToyOptions {
  readonly layers: number;
  /** K, at least 2. */
  readonly copies: number;
  /** Hidden tokens that a hidden token sees before its own position; 0 keeps none. */
  readonly window: number;
}

/** The weight table, which the tests also know as numbers. */
function embeddings(): Float32Array {
  return Float32Array.from({ length: vocab * dim }, (_, index) => (index * 31 + 7) % modulus);
}

export async function toyCheckpoint(): Promise<Checkpoint> {
  const file = writeSafetensors([
    { name: "wte.weight", dtype: "F32", shape: [vocab, dim], bytes: bytesOf(embeddings()) },
    { name: "bias.0", dtype: "F32", shape: [3], bytes: bytesOf(Float32Array.of(1, 2, 3)) },
    { name: "bias.1", dtype: "F32", shape: [1], bytes: bytesOf(Float32Array.of(4)) },
  ]);
  return openSafetensors(memorySource(file));
}

/** Logits of every position, from all tokens at once. */
export function denseLogits(ids: readonly number[], { layers, copies, window }: ToyOptions): number[][] {
  const table = embeddings();
  const tokens = ids.flatMap((id, pos) =>
    Array.from({ length: copies }, (_, c) => ({ pos, copy: c + 1, x: [...table.slice(id * dim, id * dim + dim)] })),
  );
  const hidden = ({ pos, copy }: { pos: number; copy: number }) => pos * (copies - 1) + copy - 2;
  for (let layer = 0; layer < layers; layer++) {
    const keys = tokens.map(({ x }) => [...x]);
    for (const query of tokens) {
      for (const [index, key] of tokens.entries()) {
        const sees =
          (key.copy === 1 && key.pos < query.pos) ||
          (key.pos === query.pos && key.copy <= query.copy) ||
          (key.copy > 1 && query.copy > 1 && key.pos < query.pos && hidden(query) - hidden(key) <= window);
        if (sees)
          query.x = query.x.map((value, d) => (value + keys[index]![d]! + layer + (d === 3 ? 4 : d + 1)) % modulus);
      }
    }
  }
  return tokens
    .filter(({ copy }) => copy === copies)
    .map(({ x }) =>
      Array.from(
        { length: vocab },
        (_, v) => x.reduce((sum, value, d) => sum + value * ((v + 3) * (d + 2) + v * v), 0) % 101,
      ),
    );
}

const control = "@group(0) @binding";
const rowOf = `
struct Row { sequence: u32, pos: u32, copy: u32, id: u32 }
fn row_at(row: u32) -> Row {
  let at = p.rows_at + row * 4u;
  return Row(u32(control[at]), u32(control[at + 1u]), u32(control[at + 2u]), u32(control[at + 3u]));
}`;
const slotOf = `
fn slot_of(group: u32, slots: u32, sequence: u32, index: u32) -> u32 {
  let base = u32(control[p.sequences_at + sequence * p.sequence_stride + 4u + group]);
  return (sequence * slots + (index - base) % slots) * ${dim}u;
}`;

interface ToyKernel {
  readonly name: string;
  readonly bindings: Manifest["kernels"][number]["bindings"];
  readonly parameters: readonly string[];
  readonly body: string;
  readonly workgroup?: number;
}

type Binding = ToyKernel["bindings"][number];
const binding = (name: string, access: Binding["access"], element: Binding["element"] = "f32", lanes = 1): Binding => ({
  name,
  role: "activation",
  element,
  lanes,
  access,
});

const places = ["rows_at", "sequences_at", "sequence_stride", "batch"];
const slots = ["slots_0", "slots_1"];

function toyKernels({ copies, window }: ToyOptions): readonly ToyKernel[] {
  const hidden = copies - 1;
  return [
    {
      name: "embed",
      bindings: [
        binding("control", "read", "i32"),
        binding("table", "read", "f32", 4),
        binding("x", "read_write", "f32", 4),
      ],
      parameters: [...places, "row_base", "row_count", "part_base", "part_rows"],
      body: `
${rowOf}
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) at: vec3u) {
  if (at.x >= p.row_count) { return; }
  let row = row_at(p.row_base + at.x);
  if (row.id < p.part_base || row.id >= p.part_base + p.part_rows) { return; }
  x[p.row_base + at.x] = table[row.id - p.part_base];
}`,
    },
    {
      name: "store",
      bindings: [
        binding("control", "read", "i32"),
        binding("x", "read"),
        binding("keys_0", "read_write"),
        binding("keys_1", "read_write"),
      ],
      parameters: [...places, ...slots, "row_base", "row_count"],
      body: `
${rowOf}${slotOf}
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) at: vec3u) {
  if (at.x >= p.row_count) { return; }
  let row = row_at(p.row_base + at.x);
  for (var d = 0u; d < ${dim}u; d++) {
    let value = x[(p.row_base + at.x) * ${dim}u + d];
    if (row.copy == 1u) {
      keys_0[slot_of(0u, p.slots_0, row.sequence, row.pos) + d] = value;
      keys_0[p.batch * p.slots_0 * ${dim}u + slot_of(0u, p.slots_0, row.sequence, row.pos) + d] = value;
    } else {
      let slot = slot_of(1u, p.slots_1, row.sequence, row.pos * ${hidden}u + row.copy - 2u);
      keys_1[slot + d] = value;
      keys_1[p.batch * p.slots_1 * ${dim}u + slot + d] = value;
    }
  }
}`,
    },
    {
      // One workgroup per query tile, one invocation per row of it.
      name: "attend",
      bindings: [
        binding("control", "read", "i32"),
        binding("keys_0", "read"),
        binding("keys_1", "read"),
        binding("bias", "read"),
        binding("x", "read_write"),
      ],
      parameters: [...places, ...slots, "tiles_at", "tile_base", "layer"],
      workgroup: 4,
      body: `
${rowOf}${slotOf}
@compute @workgroup_size(4) fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = p.tiles_at + (p.tile_base + group.x) * 4u;
  if (lane >= u32(control[tile + 1u])) { return; }
  let index = u32(control[tile]) + lane * u32(control[tile + 2u]);
  let row = row_at(index);
  if (row.sequence != u32(control[tile + 3u])) { return; }
  let h = i32(row.pos * ${hidden}u + row.copy) - 2;
  for (var d = 0u; d < ${dim}u; d++) {
    var sum = x[index * ${dim}u + d];
    let last = select(row.pos + 1u, row.pos, row.copy == 0u);
    for (var i = 0u; i < last; i++) {
      sum = (sum + keys_0[p.batch * p.slots_0 * ${dim}u + slot_of(0u, p.slots_0, row.sequence, i) + d] + f32(p.layer) + bias[d]) % ${modulus};
    }
    if (row.copy > 1u) {
      var first = i32(row.pos) * ${hidden};
      first = max(0, min(first, h - ${window}));
      for (var i = first; i <= h; i++) {
        sum = (sum + keys_1[p.batch * p.slots_1 * ${dim}u + slot_of(1u, p.slots_1, row.sequence, u32(i)) + d] + f32(p.layer) + bias[d]) % ${modulus};
      }
    }
    x[index * ${dim}u + d] = sum;
  }
}`,
    },
    ...(["in", "out"] as const).map(
      (direction): ToyKernel => ({
        name: `move_${direction}`,
        bindings: [binding("source", "read"), binding("destination", "read_write"), binding("control", "read", "i32")],
        parameters: [...places, "keep", "ring_slots", "scratch_slots"],
        body: `
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) at: vec3u) {
  if (at.x >= p.keep) { return; }
  let words = p.sequences_at + at.y * p.sequence_stride;
  let positions = control[words + ${direction === "in" ? "1u" : "0u"}];
  let index = positions * ${hidden} - 1 - i32(at.x);
  if (index < 0) { return; }
  let scratch = (at.y * p.scratch_slots + u32(index - control[words + 5u]) % p.scratch_slots) * ${dim}u;
  let ring = (at.y * p.ring_slots + u32(index) % p.ring_slots) * ${dim}u;
  let scratch_half = at.z * p.batch * p.scratch_slots * ${dim}u;
  let ring_half = at.z * p.batch * p.ring_slots * ${dim}u;
  for (var d = 0u; d < ${dim}u; d++) {
    ${direction === "in" ? "destination[scratch_half + scratch + d] = source[ring_half + ring + d];" : "destination[ring_half + ring + d] = source[scratch_half + scratch + d];"}
  }
}`,
      }),
    ),
    {
      name: "head",
      bindings: [binding("x", "read"), binding("logits", "read_write")],
      parameters: ["row_base", "row_count"],
      body: `
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) at: vec3u) {
  if (at.x >= ${vocab}u || at.y >= p.row_count) { return; }
  var sum = 0.0;
  for (var d = 0u; d < ${dim}u; d++) {
    sum += x[(p.row_base + at.y) * ${dim}u + d] * f32((at.x + 3u) * (d + 2u) + at.x * at.x);
  }
  logits[at.y * ${vocab}u + at.x] = sum % 101.0;
}`,
    },
    {
      name: "argmax",
      bindings: [binding("logits", "read"), binding("control", "read_write", "i32")],
      parameters: places,
      workgroup: 1,
      body: `
@compute @workgroup_size(1) fn main(@builtin(workgroup_id) at: vec3u) {
  var best = 0u;
  for (var v = 1u; v < ${vocab}u; v++) {
    if (logits[at.x * ${vocab}u + v] > logits[at.x * ${vocab}u + best]) { best = v; }
  }
  let words = p.sequences_at + at.x * p.sequence_stride;
  control[words + 1u] = control[words];
  control[words] += 1;
  control[words + 2u] = i32(best);
  control[words + 3u] += 1;
  for (var c = 0u; c < ${copies}u; c++) {
    let row = p.rows_at + (c * p.batch + at.x) * 4u;
    control[row + 1u] += 1;
    control[row + 3u] = i32(best);
  }
}`,
    },
  ];
}

function wgslOf({ bindings, parameters, body }: ToyKernel): string {
  const types = { f32: "f32", i32: "i32", f16: "f16", bf16: "u32", u32: "u32" } as const;
  const declarations = bindings.map(({ name, access, element, lanes }, index) => {
    const type = lanes === 4 ? `vec4<${types[element]}>` : types[element];
    return `${control}(${index}) var<storage, ${access}> ${name}: array<${type}>;`;
  });
  const struct = `struct Parameters { ${parameters.map((name) => `${name}: u32`).join(", ")} }`;
  return [struct, ...declarations, `${control}(${bindings.length}) var<uniform> p: Parameters;`, body].join("\n");
}

/** A package of the toy model: its manifest, and its kernel files by name. */
export function toyPackage(options: ToyOptions): {
  readonly manifest: Manifest;
  readonly readText: (file: string) => Promise<string>;
} {
  const { layers, copies, window } = options;
  const hidden = copies - 1;
  const kernels = toyKernels(options);
  const order = Array.from({ length: copies }, (_, index) => index + 1);
  const step = (
    name: string,
    kernel: string,
    workgroups: Manifest["sampling"][number]["choices"][number]["workgroups"],
    bindings: Manifest["sampling"][number]["bindings"],
    more: Partial<Manifest["sampling"][number]> = {},
  ): Manifest["sampling"][number] => ({
    name,
    choices: [
      {
        kernel,
        workgroups,
        parameters: Object.fromEntries(
          kernels.find((info) => info.name === kernel)!.parameters.map((parameter) => [parameter, parameter]),
        ),
      },
    ],
    bindings,
    ...more,
  });
  const rowGroups = { op: "div", args: [{ op: "add", args: ["row_count", 63] }, 64] } as const;
  const x = { kind: "buffer", name: "x" } as const;
  const here = { kind: "control" } as const;
  const originals = { kind: "keys", group: "originals" } as const;
  const hiddenKeys = { kind: "keys", group: "hidden" } as const;
  const store = { kind: "store", group: "hidden" } as const;
  const layer = (phase: "prefill" | "decode") => {
    const moves = phase === "prefill" && window > 0;
    return [
      ...(moves
        ? [
            step(
              "move in",
              "move_in",
              [1, "batch", 2],
              { source: store, destination: hiddenKeys, control: here },
              {
                when: { op: "le", args: [1, "start"] },
              },
            ),
          ]
        : []),
      step(
        "store",
        "store",
        [rowGroups, 1, 1],
        { control: here, x, keys_0: originals, keys_1: hiddenKeys },
        { rows: "input" },
      ),
      step(
        "attend",
        "attend",
        ["tile_count", 1, 1],
        { control: here, keys_0: originals, keys_1: hiddenKeys, bias: { kind: "weight", name: "bias" }, x },
        { rows: "query" },
      ),
      ...(moves
        ? [step("move out", "move_out", [1, "batch", 2], { source: hiddenKeys, destination: store, control: here })]
        : []),
    ];
  };
  const phase = (which: "prefill" | "decode") => ({
    before: [
      step(
        "embed",
        "embed",
        [rowGroups, 1, 1],
        { control: here, table: { kind: "weight", name: "wte" }, x },
        {
          rows: "input",
          partsOf: "wte",
        },
      ),
    ],
    layer: [layer(which)],
    classOf: new Array<number>(layers).fill(0),
    after: [
      step("head", "head", [1, "row_count", 1], { x, logits: { kind: "buffer", name: "logits" } }, { rows: "output" }),
    ],
  });
  const manifest: Manifest = {
    format: "phdc-package",
    version: 1,
    generator: "by hand",
    target: "webgpu",
    model: {
      name: "Toy",
      source: "",
      parameters: {},
      vocab,
      layers,
      copies,
      predictCopy: copies,
      attends: [],
    },
    symbols: [
      { name: "batch", doc: "", min: 1, max: 8 },
      { name: "context", doc: "", min: 1 },
      { name: "slice", doc: "", min: 1 },
    ],
    constants: { dim },
    groups: [
      { name: "originals", firstCopy: 1, lastCopy: 1 },
      { name: "hidden", firstCopy: 2, lastCopy: copies },
    ],
    rows: {
      tileRows: { prefill: 4, decode: 2 },
      prefill: {
        inputs: Array.from({ length: layers }, (_, layer) => {
          // Layer by layer the window reaches further back; the last positions' hidden tokens are always there.
          const reach = (layers - layer) * window + hidden;
          const lo = { op: "sub", args: [{ op: "mul", args: ["n", hidden] }, reach] } as const;
          return [
            { group: "originals", ranges: [{ lo: "start", hi: "n" }] },
            {
              group: "hidden",
              ranges: [
                {
                  lo: { op: "max", args: [lo, 0] } as const,
                  hi: { op: "mul", args: ["n", hidden] } as const,
                },
              ],
            },
          ];
        }),
        layers: Array.from({ length: layers }, (_, layer) => layer),
      },
      decode: {
        order,
        input: new Array<number>(layers).fill(copies),
        query: Array.from({ length: layers }, (_, layer) => (layer === layers - 1 ? 1 : copies)),
      },
    },
    stores: {
      distinct: [
        [
          { group: "originals", layout: "forever", element: "f32", kvWidth: dim, keep: 0, slots: "context" },
          window === 0
            ? { group: "hidden", layout: "step", element: "f32", kvWidth: dim, keep: 0, slots: hidden }
            : { group: "hidden", layout: "ring", element: "f32", kvWidth: dim, keep: window, slots: window + hidden },
        ],
      ],
      layers: new Array<number>(layers).fill(0),
    },
    buffers: [
      { name: "x", doc: "", element: "f32", length: { op: "mul", args: ["max_rows", "dim"] }, slot: "a" },
      { name: "logits", doc: "", element: "f32", length: { op: "mul", args: ["batch", vocab] }, slot: "b" },
    ],
    tables: [],
    weights: [
      {
        name: "wte",
        perLayer: false,
        element: "f32",
        rows: vocab,
        columns: dim,
        sources: [{ tensor: "wte.weight", shape: [vocab, dim], row: 0 }],
        splittable: true,
      },
      {
        name: "bias",
        perLayer: true,
        element: "f32",
        rows: dim,
        columns: 1,
        sources: [
          { tensor: "bias.0", shape: [3], row: 0 },
          { tensor: "bias.1", shape: [1], row: 3 },
        ],
        splittable: false,
      },
    ],
    kernels: kernels.map(({ name, bindings, parameters, workgroup = 64 }) => ({
      name,
      doc: "",
      file: `${name}.wgsl`,
      entryPoint: "main",
      language: "wgsl",
      sha256: "",
      bindings,
      parameters: parameters.map((parameter, index) => ({ name: parameter, type: "u32", offset: index * 4 })),
      parameterBytes: Math.ceil((parameters.length * 4) / 16) * 16,
      workgroupSize: [workgroup, 1, 1],
      sharedMemoryBytes: 0,
      features: [],
    })),
    phases: { prefill: phase("prefill"), decode: phase("decode") },
    sampling: [
      step("sample", "argmax", ["batch", 1, 1], {
        logits: { kind: "buffer", name: "logits" },
        control: { kind: "decode-control" },
      }),
    ],
    memory: { weights: 0, caches: 0, working: 0 },
    requires: { features: [], limits: {} },
    tolerance: 0,
  };
  return {
    manifest,
    readText: async (file) => wgslOf(kernels.find(({ name }) => `${name}.wgsl` === file)!),
  };
}
