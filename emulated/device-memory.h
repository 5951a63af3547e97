// The memory of the emulated device: allocations that are known by address, also for a while after they are freed.
#pragma once
#include <memory>
#include <vector>

#include "launch.h"

namespace emulated {

struct Allocation {
  char* start;
  std::size_t bytes;
  /** Of the pages behind it. */
  std::size_t mapped_bytes;
  /** One for every `granule` bytes, made for the first launch that stores here. */
  std::vector<Trace> traces;
  u32 granule = 0;
  /** About the launch that is being bound: whether it stores here, and its smallest element. */
  u32 launch = 0;
  bool stores = false;
  /** Whether any launch has stored here. */
  bool changes = false;
  u32 smallest = 0;
};

/** Filled with ones, so that floats that nobody stored are no numbers; null where the device's limit is reached. */
char* allocate(std::size_t bytes);
/** False where no allocation starts at the address. */
bool release(const void* start);

/** The allocation that holds the address, or null. */
Allocation* find_allocation(const void* address);
/** Whether the bytes lie in one allocation. */
bool holds(const void* address, std::size_t bytes);
/** Why nothing may be accessed at an address; null where it belongs to an allocation. */
const char* trouble_with(const void* address);

struct MemoryUse {
  std::size_t allocations, bytes, limit;
};
MemoryUse memory_use();

/** Frees everything, as the end of a context does. */
void release_all();

}  // namespace emulated
