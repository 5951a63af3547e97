/**
 * Reads the manifest of a compiled package and turns a phase into kernel calls. It knows no device; `webgpu.js` runs the calls.
 *
 * One sequence, its whole prompt in one slice, every weight in one buffer: the smallest plan that runs every model.
 */
const bytesOf = { f32: 4, i32: 4, u32: 4, f16: 2, bf16: 2 };

const operations = {
  add: (...values) => values.reduce((a, b) => a + b),
  mul: (...values) => values.reduce((a, b) => a * b),
  min: Math.min,
  max: Math.max,
  sub: (a, b) => a - b,
  div: (a, b) => Math.floor(a / b),
  mod: (a, b) => a - b * Math.floor(a / b),
  le: (a, b) => Number(a <= b),
  eq: (a, b) => Number(a === b),
  select: (condition, yes, no) => (condition === 0 ? no : yes),
};

/** The value of a formula: a number, the name of a symbol, or an operation on formulas. */
export function evaluate(formula, symbols) {
  if (typeof formula === "number") return formula;
  if (typeof formula === "string") return symbols[formula];
  return operations[formula.op](...formula.args.map((argument) => evaluate(argument, symbols)));
}

/** Sizes of all buffers for a prompt of `prompt` tokens in a sequence of at most `context`, and the calls of each phase. */
export class Plan {
  constructor(manifest, { prompt, context }) {
    const { groups, constants, rows, stores, tables } = manifest;
    this.manifest = manifest;
    this.buffers = new Map();
    const maxRows = Math.max(this.prefillTable(prompt).rows.length, rows.decode.order.length);
    this.symbols = {
      ...constants,
      batch: 1,
      context,
      slice: prompt,
      splits: 1,
      max_rows: maxRows,
      n: prompt,
      start: 0,
    };
    // A prompt in one slice needs no keys from before, so the scratch holds the prompt from its first key.
    this.scratchSlots = groups.map(({ firstCopy, lastCopy }) => context * (lastCopy - firstCopy + 1));
    for (const [layer, entry] of stores.layers.entries()) {
      for (const [group, store] of stores.distinct[entry].entries()) {
        if (store.layout === "unread") continue;
        const bytes = (slots) => 2 * slots * store.kvWidth * bytesOf[store.element];
        this.reserve(this.keysName("store", layer, group), bytes(evaluate(store.slots, this.symbols)));
        this.reserve(this.keysName("prefill", layer, group), bytes(this.scratchSlots[group]));
      }
    }
    for (const { slot, length, element } of manifest.buffers) {
      this.reserve(slot, evaluate(length, this.symbols) * bytesOf[element]);
    }
    for (const table of tables)
      this.reserve(table.name, evaluate(table.rows, this.symbols) * table.frequencies.length * 8);
    for (const [phase, ids] of Object.entries({ prefill: new Array(prompt).fill(0), decode: [0] })) {
      this.reserve(`control of ${phase}`, this.phase(phase, ids).control.byteLength);
    }
  }

  /** Buffers of one name share memory, as large as the largest of them. */
  reserve(name, bytes) {
    this.buffers.set(name, Math.max(this.buffers.get(name) ?? 16, Math.ceil(bytes / 16) * 16));
  }

  /** What holds the keys of a group: the layer's own store, or in prefill the scratch of a group that is not kept for ever. */
  keysName(phase, layer, group) {
    const { layout } = this.manifest.stores.distinct[this.manifest.stores.layers[layer]][group];
    if (layout === "forever" || (phase !== "prefill" && layout === "ring")) return `keys ${group} of layer ${layer}`;
    return `keys ${group} of ${phase === "prefill" ? "prefill" : "a step"}`;
  }

  /** The rows of a prompt of n tokens as [sequence, pos, copy], those needed in the fewest layers first. */
  prefillTable(n) {
    const { groups, model, rows } = this.manifest;
    const found = new Map();
    const add = (group, index, layers) => found.set(`${group} ${index}`, [layers, group, index]);
    for (const [layer, entry] of rows.prefill.layers.entries()) {
      for (const set of rows.prefill.inputs[entry]) {
        const group = groups.findIndex(({ name }) => name === set.group);
        const { firstCopy, lastCopy } = groups[group];
        const copies = lastCopy - firstCopy + 1;
        for (const { lo, hi, where = 1 } of set.ranges) {
          const at = { n, start: 0 };
          for (let index = evaluate(lo, at); index < evaluate(hi, at); index++) {
            const token = { ...at, pos: Math.floor(index / copies), copy: firstCopy + (index % copies) };
            if (evaluate(where, token) !== 0) add(group, index, layer + 1);
          }
        }
      }
    }
    const last = this.groupOf(n - 1, model.predictCopy);
    const copies = groups[last].lastCopy - groups[last].firstCopy + 1;
    add(last, (n - 1) * copies + model.predictCopy - groups[last].firstCopy, model.layers + 1);
    const sorted = [...found.values()].sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
    const rowsOf = ([, group, index]) => {
      const { firstCopy, lastCopy } = groups[group];
      const copies = lastCopy - firstCopy + 1;
      return [0, Math.floor(index / copies), firstCopy + (index % copies)];
    };
    const from = (layers) => sorted.filter(([count]) => count < layers).length;
    return {
      rows: sorted.map(rowsOf),
      input: (layer) => from(layer + 1),
      query: (layer) => from(layer + 2),
      output: () => sorted.length - 1,
    };
  }

  /** The rows of one decode step: every copy of one position. */
  decodeTable(pos) {
    const { order, input, query } = this.manifest.rows.decode;
    const from = (copies) => order.length - copies;
    return {
      rows: order.map((copy) => [0, pos, copy]),
      input: (layer) => from(input[layer] ?? 1),
      query: (layer) => from(query[layer] ?? 1),
      output: () => order.length - 1,
    };
  }

  /** A phase as the words of its control buffer and its kernel calls. Prefill takes the whole prompt, a decode step one id. */
  phase(kind, ids, start = 0) {
    const { groups, model, phases } = this.manifest;
    const n = start + ids.length;
    const table = kind === "prefill" ? this.prefillTable(n) : this.decodeTable(start);
    const sequenceStride = Math.ceil((4 + groups.length) / 4) * 4;
    const control = [n, start, ...new Array(sequenceStride - 2).fill(0)];
    for (const [sequence, pos, copy] of table.rows) control.push(sequence, pos, copy, ids[pos - start]);
    const at = { sequences_at: 0, sequence_stride: sequenceStride, rows_at: sequenceStride, tiles_at: control.length };

    // All ranges end at the end of the table, so the first row tells them apart.
    const known = new Map();
    const symbolsOf = (base) => {
      if (known.has(base)) return known.get(base);
      const tiles = this.tiles(kind, table.rows, base);
      const tileBase = (control.length - at.tiles_at) / 4;
      for (const tile of tiles) control.push(...tile);
      const rows = { row_base: base, row_count: table.rows.length - base };
      return known.set(base, { ...rows, tile_base: tileBase, tile_count: tiles.length }).get(base);
    };
    const callsOf = (steps, layer) =>
      steps.flatMap(({ rows, when = 1, choices, bindings, partsOf }) => {
        const symbols = { ...this.symbols, ...at, n, start, layer, part_base: 0 };
        if (rows !== undefined) Object.assign(symbols, symbolsOf(table[rows](layer ?? 0)));
        if (partsOf !== undefined) symbols.part_rows = this.manifest.weights.find(({ name }) => name === partsOf).rows;
        for (const group of layer === undefined ? [] : groups.keys()) {
          const { layout, slots } = this.manifest.stores.distinct[this.manifest.stores.layers[layer]][group];
          const inScratch = kind === "prefill" && layout !== "forever";
          symbols[`slots_${group}`] = inScratch ? this.scratchSlots[group] : evaluate(slots, this.symbols);
        }
        const moved = groups.findIndex(({ name }) =>
          Object.values(bindings).some((b) => b.kind === "store" && b.group === name),
        );
        if (moved >= 0) {
          const { keep, slots } = this.manifest.stores.distinct[this.manifest.stores.layers[layer]][moved];
          const sizes = { ring_slots: evaluate(slots, this.symbols), scratch_slots: this.scratchSlots[moved] };
          Object.assign(symbols, { keep, ...sizes });
        }
        if (evaluate(when, symbols) === 0) return [];
        const choice = choices.find(({ when: chosen = 1 }) => evaluate(chosen, symbols) !== 0);
        const workgroups = choice.workgroups.map((formula) => evaluate(formula, symbols));
        if (workgroups.includes(0)) return [];
        const parameter = ([name, formula]) => [name, evaluate(formula, symbols)];
        const parameters = Object.fromEntries(Object.entries(choice.parameters).map(parameter));
        return [
          { kernel: choice.kernel, workgroups, parameters, bound: (name) => this.nameOf(bindings[name], kind, layer) },
        ];
      });
    const { before, layer, classOf, after } = phases[kind];
    const calls = callsOf(before);
    for (let l = 0; l < model.layers; l++) calls.push(...callsOf(layer[classOf[l]], l));
    calls.push(...callsOf(after));
    return { control: Int32Array.from(control), calls };
  }

  /** The key group of a token: a run of copies, at all positions or at those of an interval. */
  groupOf(pos, copy) {
    return this.manifest.groups.findIndex(
      ({ firstCopy, lastCopy, firstPos = 0, endPos = Infinity }) =>
        firstCopy <= copy && copy <= lastCopy && firstPos <= pos && pos < endPos,
    );
  }

  /** Query tiles of the rows from `base` on: [first row, rows, stride, sequence]. */
  tiles(kind, rows, base) {
    const most = this.manifest.rows.tileRows[kind];
    const groupOf = ([, pos, copy]) => this.groupOf(pos, copy);
    const tiles = [];
    for (let row = base; row < rows.length; row++) {
      const tile = tiles.at(-1);
      // A prefill tile holds originals or hidden tokens, which see different ranges of keys.
      const joins =
        tile !== undefined && tile[1] < most && (kind === "decode" || groupOf(rows[tile[0]]) === groupOf(rows[row]));
      if (joins) tile[1]++;
      else tiles.push([row, 1, 1, 0]);
    }
    return tiles;
  }

  /** The buffer that a step binds; weights of a layer are named `name of layer l`. A step may ask for those of the layer before. */
  nameOf(source, phase, layer) {
    switch (source.kind) {
      case "buffer":
        return this.manifest.buffers.find(({ name }) => name === source.name).slot;
      case "table":
        return source.name;
      case "weight":
        return weightName(
          this.manifest.weights.find(({ name }) => name === source.name),
          source.layer === "previous" ? (layer ?? this.manifest.model.layers) - 1 : layer,
        );
      case "control":
        return `control of ${phase}`;
      case "decode-control":
        return "control of decode";
      default: {
        const group = this.manifest.groups.findIndex(({ name }) => name === source.group);
        return this.keysName(source.kind === "store" ? "store" : phase, layer, group);
      }
    }
  }
}

export const weightName = ({ name, perLayer }, layer) => (perLayer ? `${name} of layer ${layer}` : name);
