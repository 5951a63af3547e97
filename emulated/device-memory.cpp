#include "device-memory.h"

#include <cstdlib>
#include <deque>
#include <map>

#include <sys/mman.h>

namespace emulated {

namespace {

/** By the address behind their last byte, so that the one that holds an address is the first beyond it. */
std::map<const char*, std::unique_ptr<Allocation>> allocations;
std::size_t allocated_bytes = 0;

/** Freed pages stay reserved for a while, so that what still points to them is recognised. */
struct Freed {
  char* start;
  std::size_t mapped_bytes;
};
std::deque<Freed> freed;
constexpr std::size_t most_freed = 4096;

constexpr std::size_t page_bytes = 4096;
constexpr std::size_t default_limit = std::size_t(8) << 30;

/** PHDC_EMULATED_MEMORY, in bytes. */
std::size_t limit() {
  const char* text = std::getenv("PHDC_EMULATED_MEMORY");
  return text == nullptr || *text == 0 ? default_limit : std::strtoull(text, nullptr, 10);
}

}  // namespace

char* allocate(std::size_t bytes) {
  if (bytes > limit() || allocated_bytes > limit() - bytes) return nullptr;
  const std::size_t mapped_bytes = (bytes + page_bytes - 1) / page_bytes * page_bytes;
  void* start = mmap(nullptr, mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return nullptr;
  std::memset(start, 0xff, bytes);
  auto allocation = std::make_unique<Allocation>();
  allocation->start = static_cast<char*>(start);
  allocation->bytes = bytes;
  allocation->mapped_bytes = mapped_bytes;
  allocated_bytes += bytes;
  const char* end = allocation->start + bytes;
  allocations.emplace(end, std::move(allocation));
  return static_cast<char*>(start);
}

bool release(const void* start) {
  Allocation* allocation = find_allocation(start);
  if (allocation == nullptr || allocation->start != start) return false;
  allocated_bytes -= allocation->bytes;
  mprotect(allocation->start, allocation->mapped_bytes, PROT_NONE);
  madvise(allocation->start, allocation->mapped_bytes, MADV_DONTNEED);
  freed.push_back({allocation->start, allocation->mapped_bytes});
  if (freed.size() > most_freed) {
    munmap(freed.front().start, freed.front().mapped_bytes);
    freed.pop_front();
  }
  allocations.erase(allocation->start + allocation->bytes);
  return true;
}

void release_all() {
  while (!allocations.empty()) release(allocations.begin()->second->start);
}

Allocation* find_allocation(const void* address) {
  const char* place = static_cast<const char*>(address);
  const auto found = allocations.upper_bound(place);
  return found == allocations.end() || found->second->start > place ? nullptr : found->second.get();
}

bool holds(const void* address, std::size_t bytes) {
  const Allocation* allocation = find_allocation(address);
  if (allocation == nullptr) return false;
  return bytes <= std::size_t(allocation->start + allocation->bytes - static_cast<const char*>(address));
}

const char* trouble_with(const void* address) {
  if (find_allocation(address) != nullptr) return nullptr;
  if (address == nullptr) return "nothing";
  for (const Freed& range : freed) {
    if (address >= range.start && address < range.start + range.mapped_bytes) return "memory that has been freed";
  }
  return "no memory of the device";
}

MemoryUse memory_use() { return {allocations.size(), allocated_bytes, limit()}; }

void announce(const void* address, u32 element_bytes, bool stores) {
  Allocation* allocation = find_allocation(address);
  if (allocation == nullptr) return;
  if (allocation->launch != running.launch) {
    allocation->launch = running.launch;
    allocation->stores = false;
    allocation->smallest = element_bytes;
  }
  allocation->stores |= stores;
  allocation->changes |= stores;
  allocation->smallest = std::min(allocation->smallest, element_bytes);
}

Binding bind(const void* address, u32 element_bytes, u32 alignment) {
  Allocation* allocation = find_allocation(address);
  if (allocation == nullptr || reinterpret_cast<std::uintptr_t>(address) % alignment != 0) return {0, nullptr, 1, false};
  const std::size_t offset = static_cast<const char*>(address) - allocation->start;
  const std::uint64_t count = (allocation->bytes - offset) / element_bytes;
  if (!allocation->stores) return {count, nullptr, 1, allocation->changes};
  if (allocation->granule != allocation->smallest) {
    allocation->granule = allocation->smallest;
    allocation->traces.assign((allocation->bytes + allocation->granule - 1) / allocation->granule, Trace());
  }
  return {count, allocation->traces.data() + offset / allocation->granule, element_bytes / allocation->granule, allocation->changes};
}

}  // namespace emulated
