/** How Node measures its own thread and heap. */
import { getHeapStatistics } from "node:v8";
import koffi from "koffi";
import type { HostClocks } from "../host-clocks.js";

/** Of clock_gettime, on Linux: processor time of the calling thread. */
const threadClock = 3;

export function nodeClocks(): HostClocks {
  const threadMs = threadTime();
  return {
    ...(threadMs !== undefined && { threadMs }),
    heapBytes: () => getHeapStatistics().used_heap_size,
  };
}

/** Absent where the system has no such clock, or hides it. */
function threadTime(): (() => number) | undefined {
  if (process.platform !== "linux") return undefined;
  try {
    const clock = koffi.load("libc.so.6").func("int clock_gettime(int clock, void *time)");
    // Seconds and nanoseconds, 64 bits each, of which the low words are enough for a process that lives some years.
    const time = new Uint32Array(4);
    const read = () => {
      clock(threadClock, time);
      return time[0]! * 1000 + time[2]! / 1e6;
    };
    return read() > 0 ? read : undefined;
  } catch {
    return undefined;
  }
}
