// The stand-in for the CUDA driver library: what its functions share.
//
// Work of a stream is done when the host waits for it and not before, so that a host that does not wait sees stale memory, as it
// may on a device. Errors of kernels are sticky, as in CUDA: every later call returns them until the context ends.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>

#include "device-memory.h"

// Codes and handles as CUDA's driver API numbers and passes them.
enum CUresult : int {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_INVALID_VALUE = 1,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_NOT_INITIALIZED = 3,
  CUDA_ERROR_INVALID_DEVICE = 101,
  CUDA_ERROR_INVALID_IMAGE = 200,
  CUDA_ERROR_INVALID_CONTEXT = 201,
  CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
  CUDA_ERROR_INVALID_HANDLE = 400,
  CUDA_ERROR_ILLEGAL_STATE = 401,
  CUDA_ERROR_NOT_FOUND = 500,
  CUDA_ERROR_NOT_READY = 600,
  CUDA_ERROR_ILLEGAL_ADDRESS = 700,
  CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701,
  CUDA_ERROR_MISALIGNED_ADDRESS = 716,
  CUDA_ERROR_LAUNCH_FAILED = 719,
  CUDA_ERROR_NOT_SUPPORTED = 801,
  CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900,
  CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901,
};

using CUdeviceptr = std::uint64_t;

namespace emulated {

/** Something a stream does when its turn comes. */
using Operation = std::function<CUresult()>;

struct Graph {
  std::vector<Operation> nodes;
};

struct Stream {
  std::deque<Operation> queue;
  /** Whether the default stream waits for this one, and this one for it. */
  bool blocking = true;
  /** What is captured now, or null. */
  std::unique_ptr<Graph> captured;
  /** A call that capture does not allow has been made since it began. */
  bool capture_broken = false;
};

struct Event {
  /** Recordings that have not been reached; the last one was on this stream. */
  unsigned pending = 0;
  Stream* stream = nullptr;
  bool recorded = false;
  double milliseconds = 0;
};

struct Module {
  void* library;
};

/** How many of each kind the host has made and not given back. What a context's end took away stays counted: it leaked. */
struct Counts {
  std::uint64_t allocations, allocated_bytes, host_allocations, modules, streams, events, graphs, graph_execs, contexts;
  /** Kernels that have run. */
  std::uint64_t launches;
};

/** Everything the driver holds. */
struct Driver {
  std::recursive_mutex mutex;
  bool initialised = false;
  unsigned retained = 0;
  /** The error of a kernel, which stays. */
  CUresult broken = CUDA_SUCCESS;
  std::string report;
  Counts counts = {};
  Stream default_stream;
  std::set<Stream*> streams;
  std::set<Event*> events;
  std::set<Module*> modules;
  std::set<Graph*> graphs;
  std::set<Graph*> graph_execs;
  /** Page-locked memory of the host: start to bytes. */
  std::map<const char*, std::size_t> host_memory;
};

extern Driver driver;
/** The context of the calling thread of the host: there is one context, and a thread has made it current or not. */
extern thread_local bool context_is_current;

/** What a call asks for before it does anything. */
enum class Needs { nothing, initialised, context };

/** Runs the body of an API function, alone, after the usual checks. */
template <typename Body> CUresult call(Needs needs, Body body) {
  const std::lock_guard<std::recursive_mutex> lock(driver.mutex);
  if (needs == Needs::nothing) return body();
  if (!driver.initialised) return CUDA_ERROR_NOT_INITIALIZED;
  if (needs == Needs::initialised) return body();
  if (driver.broken != CUDA_SUCCESS) return driver.broken;
  if (driver.retained == 0 || !context_is_current) return CUDA_ERROR_INVALID_CONTEXT;
  return body();
}

/** A handle of the API as a stream; null where there is no such stream. */
Stream* stream_of(void* handle);
/** Puts work into a stream, or into the graph that it captures. */
CUresult enqueue(Stream& stream, Operation operation);
/** Does everything that waits in a stream. */
CUresult drain(Stream& stream);
/** Does everything that waits in any stream; those that do not block the default stream only where asked. */
CUresult drain_all(bool non_blocking_too);
/** Marks captures as broken by a call that waits; false where nothing is captured. */
bool breaks_capture();

/** Sets a sticky error with its report. */
CUresult fail_for_good(CUresult code, std::string report);

/** Ends the context: whatever the host has not given back goes, and stays counted. */
void end_context();

}  // namespace emulated
