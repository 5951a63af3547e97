/** Names and their values, block by block. */
import type { Span } from "../../source/source-file.js";
import type { Value } from "./values.js";

export interface Binding {
  readonly value: Value;
  readonly mutable: boolean;
  /** Absent for what the language itself names: `K`, `pi`, the axes. */
  readonly span?: Span;
}

export class Scope {
  private readonly bindings = new Map<string, Binding>();

  constructor(private readonly parent?: Scope) {}

  find(name: string): Binding | undefined {
    return this.bindings.get(name) ?? this.parent?.find(name);
  }

  /** The binding of this very block. */
  own(name: string): Binding | undefined {
    return this.bindings.get(name);
  }

  declare(name: string, binding: Binding): void {
    this.bindings.set(name, binding);
  }

  /** Replaces the value where the name was declared. */
  assign(name: string, value: Value): void {
    const binding = this.bindings.get(name);
    if (binding === undefined) this.parent?.assign(name, value);
    else this.bindings.set(name, { ...binding, value });
  }

  /** All names that can be seen, for suggestions. */
  *names(): Iterable<string> {
    yield* this.bindings.keys();
    if (this.parent !== undefined) yield* this.parent.names();
  }
}
