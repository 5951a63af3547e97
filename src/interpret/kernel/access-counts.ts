/** What a kernel did with one buffer. */
export interface BufferAccess {
  /** Load operations; one 16-byte vector is one. */
  loads: number;
  loadedBytes: number;
  stores: number;
  storedBytes: number;
  /** How often each element was loaded, by element index; a buffer of `vec4<f32>` has one entry per vector. */
  readonly loadsOfElement: Uint32Array;
}

/** Counts loads and stores per buffer, over as many dispatches as it is given to. */
export class AccessCounts {
  private readonly accesses = new Map<string, BufferAccess>();

  /** The counts of a buffer, by its name in the kernel. */
  of(buffer: string): BufferAccess {
    const access = this.accesses.get(buffer);
    if (access === undefined) throw new Error(`no counts for a buffer named ${buffer}`);
    return access;
  }

  get buffers(): readonly string[] {
    return [...this.accesses.keys()];
  }

  /** The counts to add to, made on first use or when the buffer has grown. */
  open(buffer: string, elements: number): BufferAccess {
    const known = this.accesses.get(buffer);
    if (known !== undefined && known.loadsOfElement.length >= elements) return known;
    const loadsOfElement = new Uint32Array(elements);
    if (known !== undefined) loadsOfElement.set(known.loadsOfElement);
    const { loads = 0, loadedBytes = 0, stores = 0, storedBytes = 0 } = known ?? {};
    const access = { loads, loadedBytes, stores, storedBytes, loadsOfElement };
    this.accesses.set(buffer, access);
    return access;
  }
}
