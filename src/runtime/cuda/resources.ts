/** Counts what the host holds of the driver, so that a test can see that nothing is left when a session and a model are closed. */
export type ResourceKind =
  | "context"
  | "stream"
  | "module"
  | "buffer"
  | "pinned memory"
  | "argument memory"
  | "event"
  | "graph";

export class Resources {
  readonly #live = new Map<ResourceKind, number>();

  created(kind: ResourceKind): void {
    this.#live.set(kind, (this.#live.get(kind) ?? 0) + 1);
  }

  released(kind: ResourceKind): void {
    const left = (this.#live.get(kind) ?? 0) - 1;
    if (left < 0) throw new Error(`a ${kind} was released twice`);
    if (left === 0) this.#live.delete(kind);
    else this.#live.set(kind, left);
  }

  /** How many there are of each kind that there are any of. */
  get live(): Readonly<Partial<Record<ResourceKind, number>>> {
    return Object.fromEntries(this.#live);
  }
}
