/** How a host measures itself. What cannot be measured is absent; Node's are in `node/host-clocks.ts`. */
export interface HostClocks {
  /** Milliseconds that the calling thread has computed. */
  readonly threadMs?: () => number;
  /** Bytes that objects take on the heap, garbage included. */
  readonly heapBytes?: () => number;
}
