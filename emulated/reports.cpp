// What is said of a kernel that does what no device promises to survive.
#include "device-memory.h"
#include "launch.h"

namespace emulated {

namespace {

std::string name_element(const Region& region, Place place) {
  return std::string(region.name) + "[" + std::to_string(place.index) + "]";
}

const char* name_access(Access access) {
  switch (access) {
    case Access::load: return " loads ";
    case Access::store: return " stores to ";
    case Access::atomic: return " atomically updates ";
    case Access::copy_to: return " starts to copy to ";
    case Access::copy_from: return " starts to copy from ";
  }
  return " touches ";
}

/** `thread 17 of block (3, 0, 0) stores to tile[256] at rms_norm.cu:42, `. */
std::string name_event(const Region& region, Place place, Access access) {
  return name_thread(running.thread) + name_access(access) + name_element(region, place) + " at " + name_line(place.line) + ", ";
}

std::string name_other(const Region& region, u32 other) {
  if (other == several) return "several threads";
  if (other == atomics) return "others by atomic operations";
  if (region.shared) return "thread " + std::to_string(other);
  const u32 threads = blockDim.x * blockDim.y * blockDim.z;
  const u32 block = other / threads;
  const Dimensions at = {block % gridDim.x, block / gridDim.x % gridDim.y, block / (gridDim.x * gridDim.y)};
  return "thread " + std::to_string(other % threads) + " of block (" + std::to_string(at.x) + ", " + std::to_string(at.y) + ", " +
         std::to_string(at.z) + ")";
}

}  // namespace

std::string name_thread(u32 thread) {
  return "thread " + std::to_string(thread) + " of block (" + std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) + ", " +
         std::to_string(blockIdx.z) + ")";
}

std::string name_line(int line) { return std::string(running_kernel()) + ".cu:" + std::to_string(line); }

void fault_outside(Region region, Place place, Access access) {
  const std::string event = name_event(region, place, access);
  if (region.shared) {
    raise_fault(FaultKind::outside, event + "outside of the " + std::to_string(region.count) + " elements of this shared array");
  }
  if (const char* trouble = trouble_with(region.start)) {
    raise_fault(FaultKind::outside, event + "but the buffer " + region.name + " points to " + trouble);
  }
  if (region.count == 0 && reinterpret_cast<std::uintptr_t>(region.start) % region.element_bytes != 0) {
    raise_fault(FaultKind::misaligned, event + "but the buffer " + region.name + " begins at an address that is no multiple of its " +
                                           std::to_string(region.element_bytes) + "-byte elements");
  }
  raise_fault(FaultKind::outside, event + "outside of the " + std::to_string(region.count) + " elements of this buffer");
}

void fault_unstored(Region region, Place place, Access access) {
  const char* what = access == Access::store ? "what it computed from shared memory that no thread of the block has stored"
                                             : "which no thread of the block has stored";
  raise_fault(FaultKind::unstored, name_event(region, place, access) + what);
}

void fault_in_flight(Region region, Place place, Access access, u32 copier) {
  raise_fault(FaultKind::in_flight, name_event(region, place, access) + "while an asynchronous copy to it, started by thread " +
                                        std::to_string(copier) + ", has not been waited for");
}

void fault_race(Region region, Place place, Access access, u32 other, bool other_stored) {
  const char* order = region.shared ? ", with no barrier between" : " in the same launch, which nothing orders";
  raise_fault(FaultKind::race, name_event(region, place, access) + "which " + name_other(region, other) +
                                   (other_stored ? " stored" : " loaded") + order);
}

void fault_early(Region region, Place place, Access access) {
  raise_fault(FaultKind::early, name_event(region, place, access) + "where kernels store, before await_previous()");
}

void fault_lane(const char* what, int line, u32 lane) {
  raise_fault(FaultKind::lane, name_thread(running.thread) + " asks for lane " + std::to_string(lane) + " of its warp in " + what +
                                   " at " + name_line(line));
}

}  // namespace emulated
