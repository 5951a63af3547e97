/**
 * Checks what shapes alone do not tell.
 */
import { ManifestError } from "./errors.js";
import type { BindingSource, KernelInfo, Manifest, Step, WeightInfo } from "./manifest.js";

/** What manifests refer to by name or place must be there, and every kernel's bindings and parameters must be given. */
export function assertReferences(manifest: Manifest): void {
  const { rows, stores, groups, phases, model, weights, kernels } = manifest;
  if (model.predictCopy > model.copies)
    throw new ManifestError("model.predictCopy", `is more than ${model.copies} copies`);
  assertPlaces("rows.prefill.layers", rows.prefill.layers, rows.prefill.inputs.length);
  assertPlaces("stores.layers", stores.layers, stores.distinct.length);
  if (new Set(rows.decode.order).size !== model.copies)
    throw new ManifestError("rows.decode.order", "names a copy twice");
  for (const [index, ofLayer] of stores.distinct.entries()) {
    for (const [group, store] of ofLayer.entries()) {
      if (store.group !== groups[group]!.name) {
        throw new ManifestError(`stores.distinct[${index}][${group}].group`, `must be ${groups[group]!.name}`);
      }
    }
  }
  assertDistinct("kernels", kernels);
  assertDistinct("weights", weights);
  assertDistinct("buffers", manifest.buffers);
  assertDistinct("tables", manifest.tables);
  for (const [index, info] of weights.entries()) assertWeight(`weights[${index}]`, info);
  for (const [index, info] of kernels.entries()) assertParametersFit(`kernels[${index}]`, info);
  assertLanguage(manifest);

  const references = new References(manifest);
  for (const name of ["prefill", "decode"] as const) {
    const { before, layer, classOf, after } = phases[name];
    assertPlaces(`phases.${name}.classOf`, classOf, layer.length);
    references.assertSteps(`phases.${name}.before`, before);
    for (const [index, steps] of layer.entries()) references.assertSteps(`phases.${name}.layer[${index}]`, steps, true);
    references.assertSteps(`phases.${name}.after`, after);
  }
  references.assertSteps("sampling", manifest.sampling);
}

/** The kernels of a package are in the language of its target, and what goes with CUDA kernels goes with no others. */
function assertLanguage({ target, kernels, modules }: Manifest): void {
  const language = target === "cuda" ? "cuda" : "wgsl";
  for (const [index, kernel] of kernels.entries()) {
    if (kernel.language === language) continue;
    throw new ManifestError(`kernels[${index}].language`, `must be ${language}, as the target is ${target}`);
  }
  if (modules !== undefined && target !== "cuda") {
    throw new ManifestError("modules", `is for packages of the target cuda, and this is for ${target}`);
  }
}

function assertPlaces(path: string, places: readonly number[], count: number): void {
  for (const [index, place] of places.entries()) {
    if (place >= count) throw new ManifestError(`${path}[${index}]`, `${place} is not among ${count} entries`);
  }
}

function assertDistinct(path: string, infos: readonly { readonly name: string }[]): void {
  const names = new Set<string>();
  for (const [index, { name }] of infos.entries()) {
    if (names.has(name)) throw new ManifestError(`${path}[${index}].name`, `there are two ${name}`);
    names.add(name);
  }
}

function assertWeight(path: string, { rows, columns, sources }: WeightInfo): void {
  for (const [index, { shape, row }] of sources.entries()) {
    const elements = shape.reduce((product, size) => product * size, 1);
    if (elements + row * columns > rows * columns) {
      throw new ManifestError(`${path}.sources[${index}]`, `does not fit into ${rows} × ${columns}`);
    }
  }
}

function assertParametersFit(path: string, { parameters, parameterBytes }: KernelInfo): void {
  for (const [index, { offset }] of parameters.entries()) {
    if (offset + 4 > parameterBytes)
      throw new ManifestError(`${path}.parameters[${index}].offset`, `is outside ${parameterBytes} bytes`);
  }
}

class References {
  readonly #kernels: ReadonlyMap<string, KernelInfo>;
  readonly #names: Readonly<Record<"buffer" | "weight" | "table" | "group", ReadonlySet<string>>>;

  constructor({ kernels, buffers, weights, tables, groups }: Manifest) {
    const namesOf = (infos: readonly { readonly name: string }[]) => new Set(infos.map(({ name }) => name));
    this.#kernels = new Map(kernels.map((info) => [info.name, info]));
    this.#names = {
      buffer: namesOf(buffers),
      weight: namesOf(weights),
      table: namesOf(tables),
      group: namesOf(groups),
    };
  }

  assertSteps(path: string, steps: readonly Step[], inLayer = false): void {
    for (const [index, step] of steps.entries()) this.#assertStep(`${path}[${index}]`, step, inLayer);
  }

  #assertStep(path: string, { choices, bindings, partsOf }: Step, inLayer: boolean): void {
    if (partsOf !== undefined && !this.#names.weight.has(partsOf)) {
      throw new ManifestError(`${path}.partsOf`, `there is no weight ${partsOf}`);
    }
    for (const [name, source] of Object.entries(bindings))
      this.#assertSource(`${path}.bindings.${name}`, source, inLayer);
    for (const [index, { kernel, parameters }] of choices.entries()) {
      const at = `${path}.choices[${index}]`;
      const info = this.#kernels.get(kernel);
      if (info === undefined) throw new ManifestError(`${at}.kernel`, `there is no kernel ${kernel}`);
      for (const { name } of info.bindings) {
        if (!Object.hasOwn(bindings, name))
          throw new ManifestError(`${path}.bindings`, `${kernel} needs a binding ${name}`);
      }
      for (const { name } of info.parameters) {
        if (!Object.hasOwn(parameters, name))
          throw new ManifestError(`${at}.parameters`, `${kernel} needs a parameter ${name}`);
      }
    }
  }

  #assertSource(path: string, source: BindingSource, inLayer: boolean): void {
    if ("group" in source && !inLayer) throw new ManifestError(path, "keys are bound in layers only");
    if (source.kind === "control" || source.kind === "decode-control") return;
    const kind = source.kind === "keys" || source.kind === "store" ? "group" : source.kind;
    const name = "group" in source ? source.group : source.name;
    if (!this.#names[kind].has(name)) throw new ManifestError(path, `there is no ${kind} ${name}`);
  }
}
