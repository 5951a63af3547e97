/**
 * Checks a manifest from outside before anything is done with it: its shape, its expressions, and that everything it refers to is there.
 */
import { expression } from "./check-expr.js";
import { assertReferences } from "./check-references.js";
import { ManifestError } from "./errors.js";
import {
  byKind,
  type Check,
  finite,
  integer,
  list,
  object,
  oneOf,
  optional,
  record,
  text,
  truth,
} from "./json-shape.js";
import { partitionFault } from "./key-group.js";
import {
  type BindingSource,
  type BufferInfo,
  type KernelInfo,
  type KeyGroupInfo,
  type KeyStore,
  type Manifest,
  type ModelInfo,
  type ModulesInfo,
  manifestVersion,
  type Phase,
  type RowRules,
  type RowSet,
  type SelfTestInfo,
  type Step,
  type SymbolInfo,
  type TableInfo,
  type WeightInfo,
} from "./manifest.js";
import { quantisedGroups } from "./quantise.js";

/** Text as a manifest; throws ManifestError with the place of the first thing that is wrong. */
export function parseManifest(json: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new ManifestError("the manifest", "is not JSON", { cause });
  }
  return checkManifest(value);
}

export function checkManifest(value: unknown): Manifest {
  // First what tells a foreign file and a foreign version apart from a damaged one.
  object<Pick<Manifest, "format" | "version" | "model" | "groups" | "constants">>({
    format: oneOf("phdc-package"),
    version: oneOf(manifestVersion),
    model: modelInfo,
    groups: list(keyGroup),
    constants: record(finite),
  })(value, "");
  const { model, groups, constants } = value as Manifest;
  assertPartition(groups, model.copies);
  const manifest = manifestWith(model, groups, Object.keys(constants))(value, "");
  assertReferences(manifest);
  return manifest;
}

const modelInfo = object<ModelInfo>({
  name: text,
  source: text,
  parameters: record(finite),
  vocab: integer(1),
  layers: integer(0),
  copies: integer(1),
  predictCopy: integer(1),
  attends: list(text),
});

const keyGroup = object<KeyGroupInfo>({
  name: text,
  firstCopy: integer(1),
  lastCopy: integer(1),
  firstPos: optional(integer(0)),
  endPos: optional(integer(1)),
});

function assertPartition(groups: readonly KeyGroupInfo[], copies: number): void {
  const fault = partitionFault(groups, copies);
  if (fault !== undefined) throw new ManifestError("groups", fault);
}

/** The check of a whole manifest, once the sizes that lists and expressions depend on are known. */
function manifestWith(
  model: ModelInfo,
  groups: readonly KeyGroupInfo[],
  constants: readonly string[],
): Check<Manifest> {
  const { layers, copies } = model;
  const session = [...constants, "batch", "context", "slice", "splits", "max_rows"];
  const ofSession = expression(new Set(session));
  return object<Manifest>({
    format: oneOf("phdc-package"),
    version: oneOf(manifestVersion),
    generator: text,
    target: oneOf("webgpu", "cuda"),
    model: modelInfo,
    symbols: list(symbolInfo),
    constants: record(finite),
    groups: list(keyGroup),
    rows: rowRules(layers, copies),
    stores: object<Manifest["stores"]>({
      distinct: list(list(keyStore(ofSession), groups.length)),
      layers: list(integer(0), layers),
    }),
    buffers: list(bufferInfo(ofSession)),
    tables: list(tableInfo(ofSession)),
    weights: list(weightInfo(layers)),
    kernels: list(kernelInfo),
    modules: optional(modulesInfo),
    phases: object<Manifest["phases"]>({
      prefill: phase(layers, session, groups.length),
      decode: phase(layers, session, groups.length),
    }),
    sampling: list(step({ symbols: [...session, "greedy"], sampling: true })),
    memory: object<Manifest["memory"]>({ weights: ofSession, caches: ofSession, working: ofSession }),
    requires: object<Manifest["requires"]>({ features: list(text), limits: record(finite) }),
    tolerance: finite,
    selftest: optional(
      object<SelfTestInfo>({ file: text, seed: finite, parameters: record(finite), tolerance: finite }),
    ),
  });
}

const symbolInfo = object<SymbolInfo>({ name: text, doc: text, min: integer(0), max: optional(integer(0)) });

function rowRules(layers: number, copies: number): Check<RowRules> {
  const rowSet = object<RowSet>({
    group: text,
    ranges: list(
      object<RowSet["ranges"][number]>({
        lo: expression(new Set(["n", "start"])),
        hi: expression(new Set(["n", "start"])),
        where: optional(expression(new Set(["n", "start", "pos", "copy"]))),
      }),
    ),
  });
  return object<RowRules>({
    tileRows: object<RowRules["tileRows"]>({ prefill: integer(1), decode: integer(1) }),
    prefill: object<RowRules["prefill"]>({ inputs: list(list(rowSet)), layers: list(integer(0), layers) }),
    decode: object<RowRules["decode"]>({
      order: list(integer(1, copies), copies),
      input: list(integer(0, copies), layers),
      query: list(integer(0, copies), layers),
    }),
  });
}

function keyStore(ofSession: ReturnType<typeof expression>): Check<KeyStore> {
  return object<KeyStore>({
    group: text,
    layout: oneOf("forever", "ring", "step", "unread"),
    element: oneOf("f32", "f16", "bf16"),
    kvWidth: integer(0),
    keep: integer(0),
    chunk: optional(integer(1)),
    slots: ofSession,
  });
}

const element = oneOf("f32", "f16", "bf16", "i32", "u32");

function bufferInfo(ofSession: ReturnType<typeof expression>): Check<BufferInfo> {
  return object<BufferInfo>({ name: text, doc: text, element, length: ofSession, slot: text });
}

function tableInfo(ofSession: ReturnType<typeof expression>): Check<TableInfo> {
  return object<TableInfo>({
    name: text,
    kind: oneOf("rope"),
    doc: text,
    frequencies: list(finite),
    amplitude: finite,
    over: oneOf("pos", "copy"),
    index: expression(new Set(["pos", "copy"])),
    rows: ofSession,
  });
}

function weightInfo(layers: number): Check<WeightInfo> {
  return object<WeightInfo>({
    name: text,
    perLayer: truth,
    layers: optional(list(integer(0, Math.max(0, layers - 1)))),
    element: oneOf("f32", "f16", "bf16", "u32"),
    rows: integer(1),
    columns: integer(1),
    layout: optional(oneOf("rows", "fragments")),
    quantised: optional(
      object<NonNullable<WeightInfo["quantised"]>>({
        bits: oneOf(4, 8),
        group: oneOf(...quantisedGroups),
        part: oneOf("values", "scales"),
      }),
    ),
    sources: list(
      object<WeightInfo["sources"][number]>({
        tensor: text,
        shape: list(integer(0)),
        row: integer(0),
        zeros: optional(truth),
      }),
    ),
    splittable: truth,
    packed: optional(
      list(
        object<NonNullable<WeightInfo["packed"]>[number]>({
          layer: optional(integer(0)),
          file: text,
          offset: integer(0),
          bytes: integer(0),
          sha256: text,
        }),
      ),
    ),
  });
}

const kernelInfo = object<KernelInfo>({
  name: text,
  doc: text,
  file: text,
  entryPoint: text,
  language: oneOf("wgsl", "cuda"),
  sha256: text,
  origin: optional(text),
  bindings: list(
    object<KernelInfo["bindings"][number]>({
      name: text,
      role: oneOf("activation", "weight", "cache", "control", "table", "output"),
      element,
      lanes: oneOf(1, 2, 4),
      access: oneOf("read", "read_write"),
    }),
  ),
  parameters: list(
    object<KernelInfo["parameters"][number]>({
      name: text,
      type: oneOf("u32", "i32", "f32"),
      offset: integer(0, 1 << 16),
    }),
  ),
  parameterBytes: integer(0, 1 << 16),
  workgroupSize: (value, path) => list(integer(1), 3)(value, path) as [number, number, number],
  sharedMemoryBytes: integer(0),
  features: list(text),
});

const moduleFile = { file: text, sha256: text };

const modulesInfo = object<ModulesInfo>({
  headers: list(object<ModulesInfo["headers"][number]>(moduleFile)),
  fatbin: optional(object<NonNullable<ModulesInfo["fatbin"]>>({ ...moduleFile, architectures: list(text) })),
  ptx: optional(object<NonNullable<ModulesInfo["ptx"]>>({ ...moduleFile, architecture: text, version: text })),
});

/** Where a step stands: what its formulas may use besides the symbols of the session, and whether it may take sampling parameters. */
interface StepPlace {
  readonly symbols: readonly string[];
  readonly sampling: boolean;
}

function phase(layers: number, session: readonly string[], groups: number): Check<Phase> {
  const outside = { symbols: session, sampling: false };
  const slots = Array.from({ length: groups }, (_, group) => `slots_${group}`);
  const inside = { symbols: [...session, "layer", ...slots], sampling: false };
  return object<Phase>({
    before: list(step(outside)),
    layer: list(list(step(inside))),
    classOf: list(integer(0), layers),
    after: list(step(outside)),
  });
}

const phaseSymbols = ["rows", "n", "start", "sequences_at", "sequence_stride", "rows_at", "tiles_at"];
const rowSymbols = ["row_base", "row_count", "tile_base", "tile_count"];
const partSymbols = ["part_base", "part_rows"];
const storeSymbols = ["keep", "ring_slots", "scratch_slots"];

type Choice = Step["choices"][number];

function step({ symbols, sampling }: StepPlace): Check<Step> {
  return (value, path) => {
    // What the step is about decides which symbols it has.
    const about = object<Pick<Step, "rows" | "bindings" | "partsOf">>({
      rows: optional(oneOf("input", "query", "output")),
      bindings: record(bindingSource),
      partsOf: optional(text),
    })(value, path);
    const movesKeys = Object.values(about.bindings).some(({ kind }) => kind === "store");
    const formula = expression(
      new Set([
        ...symbols,
        ...phaseSymbols,
        ...(about.rows === undefined ? [] : rowSymbols),
        ...(about.partsOf === undefined ? [] : partSymbols),
        ...(movesKeys ? storeSymbols : []),
      ]),
    );
    const parameter: Check<Choice["parameters"][string]> = (given, at) =>
      sampling && typeof given === "object" && given !== null && "sample" in given
        ? sampled(given, at)
        : formula(given, at);
    return object<Step>({
      name: text,
      rows: optional(oneOf("input", "query", "output")),
      when: optional(formula),
      choices: list(
        object<Choice>({
          when: optional(formula),
          kernel: text,
          workgroups: (given, at) => list(formula, 3)(given, at) as unknown as Choice["workgroups"],
          parameters: record(parameter),
        }),
      ),
      bindings: record(bindingSource),
      partsOf: optional(text),
      origin: optional(text),
    })(value, path);
  };
}

const sampled = object<{ readonly sample: "temperature" | "topP" | "topK" | "seed" }>({
  sample: oneOf("temperature", "topP", "topK", "seed"),
});

const named = { name: text };
const ofGroup = { group: text };
const bindingSource = byKind<BindingSource>({
  buffer: object({ kind: oneOf("buffer"), ...named }),
  weight: object({ kind: oneOf("weight"), ...named, layer: optional(oneOf("previous")) }),
  table: object({ kind: oneOf("table"), ...named }),
  keys: object({ kind: oneOf("keys"), ...ofGroup }),
  store: object({ kind: oneOf("store"), ...ofGroup }),
  control: object({ kind: oneOf("control") }),
  "decode-control": object({ kind: oneOf("decode-control") }),
});
