// What the driver needs of the engine: to run a kernel, and to hear what ended it.
#pragma once
#include <optional>
#include <string>

#include "phdc.cuh"

namespace emulated {

enum class FaultKind { outside, misaligned, race, unstored, in_flight, early, divergence, lane, division, crash };

struct Fault {
  FaultKind kind;
  /** For a person: kernel, file and line, thread and block, memory and index. */
  std::string report;
};

/** Runs a kernel to its end or to its first fault. `values` points to the value of each parameter. */
std::optional<Fault> run_kernel(const Kernel& kernel, Dimensions grid, Dimensions block, void* const* values);

/** Ends the running kernel. */
[[noreturn]] void raise_fault(FaultKind kind, std::string report);

/** `thread 17 of block (3, 0, 0)`, for a thread of the running block. */
std::string name_thread(u32 thread);
/** `rms_norm.cu:42`. */
std::string name_line(int line);
const char* running_kernel();

}  // namespace emulated
