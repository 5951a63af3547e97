// What kernels need of the engine that runs their threads: where the running thread stands, where threads meet, and how a fault
// ends a launch. The engine is in the library of the stand-in driver; kernels are linked to it.
#pragma once
#include <cstddef>
#include <cstdint>

namespace emulated {

using f32 = float;
using i32 = std::int32_t;
using u32 = std::uint32_t;

constexpr u32 warp_lanes = 32;

struct Dimensions {
  u32 x, y, z;
};

extern Dimensions threadIdx, blockIdx, blockDim, gridDim;

/**
 * The running thread as the records of memory accesses name it.
 *
 * A period is the time between two barriers of a block: what threads do to memory in one period is not ordered. Periods are counted
 * over all blocks and launches, so a number says which block it belongs to.
 */
struct Running {
  /** In its block, and in the whole launch. */
  u32 thread, launch_thread;
  u32 period;
  /** In which the block began; what is older was left by other blocks. */
  u32 first_period;
  /** In which the launch began. */
  u32 launch_period;
  u32 launch;
  /** The kernels before this one have ended, as far as this thread may know. */
  bool awaited;
};
extern Running running;

/** From now on the thread may touch what earlier kernels have stored. */
void await_previous();

/** Blocks until every thread of the block is here. */
void pass_barrier(int line);

/** What a warp does where all of its lanes meet: reads what each lane brings and writes what each takes away. */
using Join = void (*)(const void* const* brought, void* const* taken);

/** Blocks until all lanes of the warp are here, and `join` has run for all of them. `what` names the operation in reports. */
void meet_warp(const char* what, int line, Join join, const void* brings, void* takes);

/** An index, with the line it is written on: the default argument is evaluated where the conversion to this type stands. */
struct Place {
  std::int64_t index;
  int line;
  Place(u32 index, int line = __builtin_LINE()) : index(index), line(line) {}
  Place(i32 index, int line = __builtin_LINE()) : index(index), line(line) {}
};

/** Memory as reports name it. */
struct Region {
  const char* name;
  const void* start;
  std::uint64_t count;
  u32 element_bytes;
  bool shared;
};

/** What a thread does to an element, for reports. */
enum class Access { load, store, atomic, copy_to, copy_from };

// Each of these ends the launch with a report and does not return.
[[noreturn]] void fault_outside(Region region, Place place, Access access);
[[noreturn]] void fault_unstored(Region region, Place place, Access access);
[[noreturn]] void fault_in_flight(Region region, Place place, Access access, u32 copier);
/** `other` is the thread whose access conflicts; one of the numbers of memory.h where it is not one thread. */
[[noreturn]] void fault_race(Region region, Place place, Access access, u32 other, bool other_stored);
[[noreturn]] void fault_early(Region region, Place place, Access access);
[[noreturn]] void fault_lane(const char* what, int line, u32 lane);

struct Trace;

/** A copy to shared memory that has been started: it takes effect when it is waited for. `from` is null where zeros are stored. */
struct Copy {
  void* to;
  const void* from;
  u32 bytes;
  Trace* trace;
};
void start_copy(Copy copy);
void commit_copies();
void wait_for_copies(u32 pending);

}  // namespace emulated
