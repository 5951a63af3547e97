// Memory of the driver API: allocations, copies and fills.
#include <cstdlib>

#include "driver.h"

namespace emulated {
namespace {

const void* pointer(CUdeviceptr address) { return reinterpret_cast<const void*>(address); }
char* bytes_at(CUdeviceptr address) { return reinterpret_cast<char*>(address); }

/** Device memory of a copy or a fill must lie in one allocation. */
CUresult check_range(CUdeviceptr address, std::size_t bytes, const char* what) {
  if (bytes == 0 || holds(pointer(address), bytes)) return CUDA_SUCCESS;
  const char* trouble = trouble_with(pointer(address));
  driver.report = std::string(what) + " of " + std::to_string(bytes) + " bytes " +
                  (trouble == nullptr ? std::string("passes the end of its allocation") : std::string("touches ") + trouble);
  return CUDA_ERROR_INVALID_VALUE;
}

bool is_page_locked(const void* address) {
  const char* place = static_cast<const char*>(address);
  auto next = driver.host_memory.upper_bound(place);
  if (next == driver.host_memory.begin()) return false;
  --next;
  return place < next->first + next->second;
}

/** Copies and fills that wait for the default stream, and whatever waits for it, before they return. */
template <typename Work> CUresult do_now(Work work) {
  if (breaks_capture()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  const CUresult waited = drain_all(false);
  if (waited != CUDA_SUCCESS) return waited;
  work();
  return CUDA_SUCCESS;
}

/** The same in a stream, when its turn comes; the memory must still be there then. */
template <typename Work> CUresult do_later(void* handle, CUdeviceptr address, std::size_t bytes, const char* what, Work work) {
  Stream* stream = stream_of(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  return enqueue(*stream, [=] {
    if (bytes > 0 && !holds(pointer(address), bytes)) {
      return fail_for_good(CUDA_ERROR_ILLEGAL_ADDRESS, std::string(what) + " touches memory that has been freed since it was asked for");
    }
    work();
    return CUDA_SUCCESS;
  });
}

void fill_words(CUdeviceptr address, std::uint32_t value, std::size_t count) {
  for (std::size_t i = 0; i < count; i++) std::memcpy(bytes_at(address) + 4 * i, &value, 4);
}

CUresult allocate_host(void** address, std::size_t bytes) {
  if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  char* start = static_cast<char*>(std::malloc(bytes));
  if (start == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  driver.host_memory[start] = bytes;
  driver.counts.host_allocations++;
  *address = start;
  return CUDA_SUCCESS;
}

}  // namespace
}  // namespace emulated

using namespace emulated;

extern "C" {

CUresult cuMemAlloc_v2(CUdeviceptr* address, std::size_t bytes) {
  return call(Needs::context, [&] {
    if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    char* start = allocate(bytes);
    if (start == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
    driver.counts.allocations++;
    driver.counts.allocated_bytes += bytes;
    *address = reinterpret_cast<CUdeviceptr>(start);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemFree_v2(CUdeviceptr address) {
  return call(Needs::context, [&] {
    if (address == 0) return CUDA_SUCCESS;
    const CUresult waited = drain_all(true);
    if (waited != CUDA_SUCCESS) return waited;
    const Allocation* allocation = find_allocation(pointer(address));
    const std::size_t bytes = allocation == nullptr ? 0 : allocation->bytes;
    if (!release(pointer(address))) {
      const char* trouble = trouble_with(pointer(address));
      driver.report = std::string("what is to be freed is ") + (trouble == nullptr ? "no allocation's start" : trouble);
      return CUDA_ERROR_INVALID_VALUE;
    }
    driver.counts.allocations--;
    driver.counts.allocated_bytes -= bytes;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemAllocHost_v2(void** address, std::size_t bytes) {
  return call(Needs::context, [&] { return allocate_host(address, bytes); });
}

CUresult cuMemHostAlloc(void** address, std::size_t bytes, unsigned) {
  return call(Needs::context, [&] { return allocate_host(address, bytes); });
}

CUresult cuMemFreeHost(void* address) {
  return call(Needs::context, [&] {
    const CUresult waited = drain_all(true);
    if (waited != CUDA_SUCCESS) return waited;
    if (driver.host_memory.erase(static_cast<char*>(address)) == 0) return CUDA_ERROR_INVALID_VALUE;
    std::free(address);
    driver.counts.host_allocations--;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemGetInfo_v2(std::size_t* free_bytes, std::size_t* total_bytes) {
  return call(Needs::context, [&] {
    const MemoryUse use = memory_use();
    *free_bytes = use.bytes > use.limit ? 0 : use.limit - use.bytes;
    *total_bytes = use.limit;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, std::size_t bytes) {
  return call(Needs::context, [&] {
    const CUresult checked = check_range(to, bytes, "a copy to the device");
    return checked != CUDA_SUCCESS ? checked : do_now([&] { std::memcpy(bytes_at(to), from, bytes); });
  });
}

CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, std::size_t bytes) {
  return call(Needs::context, [&] {
    const CUresult checked = check_range(from, bytes, "a copy from the device");
    return checked != CUDA_SUCCESS ? checked : do_now([&] { std::memcpy(to, pointer(from), bytes); });
  });
}

CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, std::size_t bytes) {
  return call(Needs::context, [&] {
    CUresult checked = check_range(from, bytes, "a copy on the device");
    if (checked == CUDA_SUCCESS) checked = check_range(to, bytes, "a copy on the device");
    return checked != CUDA_SUCCESS ? checked : do_now([&] { std::memmove(bytes_at(to), pointer(from), bytes); });
  });
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, std::size_t bytes, void* stream) {
  return call(Needs::context, [&] {
    const CUresult checked = check_range(to, bytes, "a copy to the device");
    if (checked != CUDA_SUCCESS) return checked;
    const char* what = "an asynchronous copy to the device";
    if (is_page_locked(from)) return do_later(stream, to, bytes, what, [=] { std::memcpy(bytes_at(to), from, bytes); });
    // Memory that is not page-locked is staged before the call returns.
    const std::string staged(static_cast<const char*>(from), bytes);
    return do_later(stream, to, bytes, what, [=] { std::memcpy(bytes_at(to), staged.data(), bytes); });
  });
}

CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, std::size_t bytes, void* handle) {
  return call(Needs::context, [&] {
    const CUresult checked = check_range(from, bytes, "a copy from the device");
    if (checked != CUDA_SUCCESS) return checked;
    const CUresult asked = do_later(handle, from, bytes, "an asynchronous copy from the device",
                                    [=] { std::memcpy(to, pointer(from), bytes); });
    Stream* stream = stream_of(handle);
    if (asked != CUDA_SUCCESS || is_page_locked(to) || stream->captured != nullptr) return asked;
    // To memory that is not page-locked, the call waits.
    return drain(*stream);
  });
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, void* stream) {
  return call(Needs::context, [&] {
    CUresult checked = check_range(from, bytes, "a copy on the device");
    if (checked == CUDA_SUCCESS) checked = check_range(to, bytes, "a copy on the device");
    if (checked != CUDA_SUCCESS) return checked;
    return do_later(stream, to, bytes, "an asynchronous copy on the device", [=] {
      if (holds(pointer(from), bytes)) std::memmove(bytes_at(to), pointer(from), bytes);
    });
  });
}

CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, std::size_t count) {
  return call(Needs::context, [&] {
    const CUresult checked = check_range(to, count, "a fill");
    return checked != CUDA_SUCCESS ? checked : do_now([&] { std::memset(bytes_at(to), value, count); });
  });
}

CUresult cuMemsetD32_v2(CUdeviceptr to, unsigned value, std::size_t count) {
  return call(Needs::context, [&] {
    const CUresult checked = check_range(to, 4 * count, "a fill");
    return checked != CUDA_SUCCESS ? checked : do_now([&] { fill_words(to, value, count); });
  });
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, std::size_t count, void* stream) {
  return call(Needs::context, [&] {
    const CUresult checked = check_range(to, count, "a fill");
    if (checked != CUDA_SUCCESS) return checked;
    return do_later(stream, to, count, "an asynchronous fill", [=] { std::memset(bytes_at(to), value, count); });
  });
}

CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, std::size_t count, void* stream) {
  return call(Needs::context, [&] {
    const CUresult checked = check_range(to, 4 * count, "a fill");
    if (checked != CUDA_SUCCESS) return checked;
    return do_later(stream, to, 4 * count, "an asynchronous fill", [=] { fill_words(to, value, count); });
  });
}

}  // extern "C"
