/**
 * Runs a model as a device does, in float64: prefill a batch of prompts, then decode token by token with cached keys.
 *
 * This is the `cpu` device. It computes the rows that the plan demands and forgets the keys that the plan does not keep.
 */
import type { Graph } from "../../ir/graph/ops.js";
import { type ExecutionState, execute, type Observer } from "./execute.js";
import { KeyCache } from "./key-cache.js";
import { withKnownRows } from "./known-rows.js";
import { computeEverything, layerCount, type RowPlan } from "./row-plan.js";
import { type DemandedRow, RowTable } from "./row-table.js";
import { visibleKeys } from "./visible-keys.js";
import { type WeightSource, Weights } from "./weights.js";

export interface CpuSessionOptions {
  /** Without one, every token is computed in every layer and every key is kept. */
  readonly plan?: RowPlan;
  readonly observe?: Observer;
}

export class CpuSession {
  private readonly graph: Graph;
  private readonly weights: Weights;
  private readonly plan: RowPlan;
  private readonly layers: number;
  /** Per sequence: positions known so far. */
  private lengths: number[] = [];
  /** Per sequence and layer. */
  private caches: (KeyCache | undefined)[][] = [];
  /** Per sequence and layer: the tokens whose keys are there. */
  private live: { pos: number; copy: number }[][][] = [];

  constructor(
    graph: Graph,
    source: WeightSource,
    private readonly options: CpuSessionOptions = {},
  ) {
    this.graph = withKnownRows(graph);
    this.weights = new Weights(graph, source);
    this.plan = options.plan ?? computeEverything(graph);
    this.layers = layerCount(graph);
  }

  /** Positions computed so far, per sequence. */
  get positions(): readonly number[] {
    return this.lengths;
  }

  /** Starts over with one sequence per prompt and returns the logits after each. Prompts may differ in length; none is empty. */
  prefill(prompts: readonly (readonly number[])[]): Float64Array[] {
    this.lengths = prompts.map(() => 0);
    this.caches = prompts.map(() => Array.from({ length: this.layers }, () => undefined));
    this.live = prompts.map(() => Array.from({ length: this.layers }, () => []));
    return this.advance(prompts) as Float64Array[];
  }

  /** Appends one id to every sequence (undefined: the sequence rests) and returns the logits after each. */
  decode(ids: readonly (number | undefined)[]): (Float64Array | undefined)[] {
    const { plan } = this;
    return this.run(
      ids.map((id) => (id === undefined ? [] : [id])),
      (token, start, positions) => plan.stepDepth?.(token, positions) ?? plan.depth(token, start, positions),
    );
  }

  /** Appends ids to the sequences of the batch, as a prefill slice; a sequence that gets none rests and has no logits. */
  advance(appended: readonly (readonly number[])[]): (Float64Array | undefined)[] {
    return this.run(appended, (token, start, positions) => this.plan.depth(token, start, positions));
  }

  private run(appended: readonly (readonly number[])[], depthOf: RowPlan["depth"]): (Float64Array | undefined)[] {
    if (appended.length !== this.lengths.length) {
      throw new RangeError(`${appended.length} sequences given, the session has ${this.lengths.length}`);
    }
    const table = this.tableFor(appended, depthOf);
    this.lengths = this.lengths.map((length, sequence) => length + appended[sequence]!.length);
    const logits = execute(this.stateFor(), table);
    this.noteWritten(table);
    this.forget();

    const predicting = table.rows.slice(logits.first);
    return this.lengths.map((_, sequence) => {
      const row = predicting.findIndex((each) => each.sequence === sequence);
      return row < 0 ? undefined : logits.data.slice(row * logits.width, (row + 1) * logits.width);
    });
  }

  private tableFor(appended: readonly (readonly number[])[], depthOf: RowPlan["depth"]): RowTable {
    const rows: DemandedRow[] = [];
    for (const [sequence, ids] of appended.entries()) {
      const start = this.lengths[sequence]!;
      for (const [index, id] of ids.entries()) {
        for (let copy = 1; copy <= this.graph.copies; copy++) {
          const pos = start + index;
          const depth = depthOf({ pos, copy }, start, start + ids.length);
          if (depth > 0) rows.push({ sequence, pos, copy, id, depth });
        }
      }
    }
    return new RowTable(rows, this.layers);
  }

  private stateFor(): ExecutionState {
    const { graph } = this;
    const visible = new Map<string, Int32Array>();
    return {
      graph,
      weights: this.weights,
      observe: this.options.observe,
      cache: (layer, sequence, width) => {
        this.caches[sequence]![layer] ??= new KeyCache(width);
        return this.caches[sequence]![layer]!;
      },
      visible: (attend, row) => {
        // The same in every layer that attends alike, so it is worked out once.
        const key = `${attend} ${row.sequence} ${row.pos} ${row.copy}`;
        let keys = visible.get(key);
        if (keys === undefined) {
          keys = visibleKeys(graph, graph.attends[attend]!, row, this.lengths[row.sequence]!);
          visible.set(key, keys);
        }
        return keys;
      },
    };
  }

  private noteWritten(table: RowTable): void {
    for (const { sequence, pos, copy, depth } of table.rows) {
      for (let layer = 0; layer < Math.min(depth, this.layers); layer++) {
        this.live[sequence]![layer]!.push({ pos, copy });
      }
    }
  }

  /** Poisons every key that the plan does not keep. */
  private forget(): void {
    for (const [sequence, layers] of this.live.entries()) {
      for (const [layer, tokens] of layers.entries()) {
        layers[layer] = tokens.filter((token) => {
          if (this.plan.keeps(layer, token, this.lengths[sequence]!)) return true;
          this.caches[sequence]![layer]?.forget(token.pos * this.graph.copies + token.copy - 1);
          return false;
        });
      }
    }
  }
}
