// The driver's own functions: errors, devices, contexts; and what the emulator adds to the API.
#include "driver.h"

#include <dlfcn.h>

namespace emulated {

Driver driver;
thread_local bool context_is_current = false;

CUresult fail_for_good(CUresult code, std::string report) {
  driver.broken = code;
  driver.report = std::move(report);
  return code;
}

void end_context() {
  for (Stream* stream : driver.streams) delete stream;
  for (Event* event : driver.events) delete event;
  for (Graph* graph : driver.graphs) delete graph;
  for (Graph* graph : driver.graph_execs) delete graph;
  for (Module* module : driver.modules) {
    dlclose(module->library);
    delete module;
  }
  driver.streams.clear();
  driver.events.clear();
  driver.graphs.clear();
  driver.graph_execs.clear();
  driver.modules.clear();
  driver.default_stream.queue.clear();
  for (const auto& range : driver.host_memory) std::free(const_cast<char*>(range.first));
  driver.host_memory.clear();
  release_all();
  // After a kernel's fault the host can give nothing back.
  if (driver.broken != CUDA_SUCCESS) driver.counts = {};
  driver.broken = CUDA_SUCCESS;
}

namespace {

struct ErrorText {
  CUresult code;
  const char* name;
  const char* meaning;
};

constexpr ErrorText error_texts[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "the driver has not been initialised"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "there is no such device"},
    {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "the module's image is invalid"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "the calling thread has no context"},
    {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU", "the module has no code for this device"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "a handle is invalid"},
    {CUDA_ERROR_ILLEGAL_STATE, "CUDA_ERROR_ILLEGAL_STATE", "an object is not in the state for this call"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "a named symbol was not found"},
    {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "the device is not ready"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "a kernel touched memory that it may not touch"},
    {CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many threads for this kernel"},
    {CUDA_ERROR_MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS", "a kernel used a misaligned address"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "a kernel failed"},
    {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "the operation is not supported"},
    {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "the operation is not allowed while a stream is captured"},
    {CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "the capture was broken by an earlier call"},
};

const ErrorText* text_of(CUresult code) {
  for (const ErrorText& text : error_texts) {
    if (text.code == code) return &text;
  }
  return nullptr;
}

/** Attributes of the device, as an A100 has them; what is not here is 0. */
int attribute_of_device(int attribute) {
  switch (attribute) {
    case 1: return 1024;         // threads of a block
    case 2: return 1024;         // x, y and z of a block
    case 3: return 1024;
    case 4: return 64;
    case 5: return 2147483647;   // x, y and z of a grid
    case 6: return 65535;
    case 7: return 65535;
    case 8: return 48 * 1024;    // shared memory of a block
    case 10: return 32;          // lanes of a warp
    case 12: return 65536;       // registers of a block
    case 13: return 1000000;     // clock, kHz
    case 16: return 4;           // multiprocessors
    case 36: return 1000000;     // memory clock, kHz
    case 37: return 128;         // memory bus, bits
    case 38: return 1024 * 1024; // L2 cache
    case 39: return 2048;        // threads of a multiprocessor
    case 41: return 1;           // one address space for host and device
    case 75: return 8;           // compute capability 8.0
    case 76: return 0;
    case 81: return 164 * 1024;  // shared memory of a multiprocessor
    case 97: return 163 * 1024;  // shared memory of a block that asks for it
    default: return 0;
  }
}

/** The address stands for the one device's one context. */
char the_context;

}  // namespace
}  // namespace emulated

using namespace emulated;

extern "C" {

CUresult cuGetErrorName(CUresult code, const char** name) {
  const ErrorText* text = text_of(code);
  *name = text == nullptr ? nullptr : text->name;
  return text == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult code, const char** meaning) {
  const ErrorText* text = text_of(code);
  *meaning = text == nullptr ? nullptr : text->meaning;
  return text == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult cuInit(unsigned flags) {
  return call(Needs::nothing, [&] {
    if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
    driver.initialised = true;
    return CUDA_SUCCESS;
  });
}

CUresult cuDriverGetVersion(int* version) {
  *version = 12000;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int* count) {
  return call(Needs::initialised, [&] {
    *count = 1;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGet(int* device, int ordinal) {
  return call(Needs::initialised, [&] {
    *device = 0;
    return ordinal == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
  });
}

CUresult cuDeviceGetName(char* name, int length, int device) {
  return call(Needs::initialised, [&] {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    if (length <= 0) return CUDA_ERROR_INVALID_VALUE;
    std::strncpy(name, "phdc emulated CUDA device", length - 1);
    name[length - 1] = 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceTotalMem_v2(std::size_t* bytes, int device) {
  return call(Needs::initialised, [&] {
    *bytes = memory_use().limit;
    return device == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
  });
}

CUresult cuDeviceGetAttribute(int* value, int attribute, int device) {
  return call(Needs::initialised, [&] {
    *value = attribute_of_device(attribute);
    return device == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
  });
}

CUresult cuDevicePrimaryCtxRetain(void** context, int device) {
  return call(Needs::initialised, [&] {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    driver.retained++;
    driver.counts.contexts++;
    *context = &the_context;
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxRelease_v2(int device) {
  return call(Needs::initialised, [&] {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    if (driver.retained == 0) return CUDA_ERROR_INVALID_CONTEXT;
    driver.counts.contexts--;
    if (--driver.retained == 0) end_context();
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxReset_v2(int device) {
  return call(Needs::initialised, [&] {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    end_context();
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetCurrent(void* context) {
  return call(Needs::initialised, [&] {
    if (context != nullptr && context != &the_context) return CUDA_ERROR_INVALID_CONTEXT;
    context_is_current = context != nullptr;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetCurrent(void** context) {
  return call(Needs::initialised, [&] {
    *context = context_is_current ? &the_context : nullptr;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxPushCurrent_v2(void* context) { return cuCtxSetCurrent(context); }

CUresult cuCtxPopCurrent_v2(void** context) {
  return call(Needs::initialised, [&] {
    if (!context_is_current) return CUDA_ERROR_INVALID_CONTEXT;
    if (context != nullptr) *context = &the_context;
    context_is_current = false;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetDevice(int* device) {
  return call(Needs::context, [&] {
    *device = 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSynchronize() {
  return call(Needs::context, [] { return breaks_capture() ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : drain_all(true); });
}

// What the emulator adds.

/**
 * Writes the report of the last fault, ended by a zero, as far as it fits, and returns how many bytes it has; 0 where nothing has
 * gone wrong since the last call of this function.
 */
std::size_t phdc_emulated_report(char* text, std::size_t size) {
  const std::lock_guard<std::recursive_mutex> lock(driver.mutex);
  const std::size_t length = driver.report.size();
  if (size > 0) {
    std::strncpy(text, driver.report.c_str(), size - 1);
    text[size - 1] = 0;
    driver.report.clear();
  }
  return length;
}

/** What the host has made and not given back; see Counts. */
void phdc_emulated_counts(Counts* counts) {
  const std::lock_guard<std::recursive_mutex> lock(driver.mutex);
  *counts = driver.counts;
}

}  // extern "C"
