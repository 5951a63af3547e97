// Modules and launches of the driver API. A module's image is a shared object of the host, made from the text of kernels.
#include <cstdlib>

#include <dlfcn.h>
#include <elf.h>
#include <unistd.h>

#include "driver.h"

namespace emulated {
namespace {

/** Bytes of an ELF image: its section headers stand at the end. 0 where it is none. */
std::size_t bytes_of_image(const void* image) {
  if (std::memcmp(image, ELFMAG, SELFMAG) != 0) return 0;
  Elf64_Ehdr header;
  std::memcpy(&header, image, sizeof(header));
  return header.e_shoff + std::size_t(header.e_shnum) * header.e_shentsize;
}

/** Loads an image through a file of its own, which is gone afterwards. */
void* load_library(const void* image, std::size_t bytes) {
  const char* folder = std::getenv("TMPDIR");
  std::string path = std::string(folder == nullptr ? "/tmp" : folder) + "/phdc-module-XXXXXX";
  const int file = mkstemp(path.data());
  if (file < 0) return nullptr;
  const char* rest = static_cast<const char*>(image);
  while (bytes > 0) {
    const ssize_t written = write(file, rest, bytes);
    if (written <= 0) break;
    rest += written;
    bytes -= std::size_t(written);
  }
  close(file);
  void* library = bytes == 0 ? dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
  if (library == nullptr) driver.report = bytes > 0 ? "the module's file cannot be written" : dlerror();
  unlink(path.c_str());
  return library;
}

CUresult code_of(FaultKind kind) {
  switch (kind) {
    case FaultKind::outside:
    case FaultKind::crash: return CUDA_ERROR_ILLEGAL_ADDRESS;
    case FaultKind::misaligned: return CUDA_ERROR_MISALIGNED_ADDRESS;
    default: return CUDA_ERROR_LAUNCH_FAILED;
  }
}

const char* name_of(FaultKind kind) {
  switch (kind) {
    case FaultKind::outside: return "access out of bounds";
    case FaultKind::misaligned: return "misaligned access";
    case FaultKind::race: return "race";
    case FaultKind::unstored: return "uninitialised shared memory";
    case FaultKind::in_flight: return "asynchronous copy not waited for";
    case FaultKind::early: return "access before the previous kernel has ended";
    case FaultKind::divergence: return "divergence";
    case FaultKind::lane: return "no such lane";
    case FaultKind::division: return "division by zero";
    case FaultKind::crash: return "crash";
  }
  return "fault";
}

/** A kernel with the values of its parameters, kept until its turn comes. */
struct Launch {
  const Kernel* kernel;
  Dimensions grid, block;
  std::vector<char> values;

  CUresult run() const {
    std::vector<void*> pointers;
    const char* value = values.data();
    for (u32 i = 0; i < kernel->parameter_count; i++) {
      pointers.push_back(const_cast<char*>(value));
      value += kernel->parameter_bytes[i];
    }
    driver.counts.launches++;
    const std::optional<Fault> fault = run_kernel(*kernel, grid, block, pointers.data());
    if (!fault) return CUDA_SUCCESS;
    return fail_for_good(code_of(fault->kind),
                         std::string("kernel ") + kernel->name + ", " + name_of(fault->kind) + ": " + fault->report);
  }
};

CUresult launch(const Kernel* kernel, Dimensions grid, Dimensions block, void* handle, void** parameters, void** extra) {
  return call(Needs::context, [&] {
    Stream* stream = stream_of(handle);
    if (kernel == nullptr || stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (extra != nullptr || (parameters == nullptr && kernel->parameter_count > 0)) return CUDA_ERROR_INVALID_VALUE;
    const u32 most = 65535;
    const bool fits = grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x < 0x80000000 && grid.y <= most && grid.z <= most;
    const std::uint64_t threads = std::uint64_t(block.x) * block.y * block.z;
    if (!fits || threads == 0 || threads > 1024) {
      driver.report = std::string("kernel ") + kernel->name + " cannot run on this grid: " + std::to_string(grid.x) + " x " +
                      std::to_string(grid.y) + " x " + std::to_string(grid.z) + " blocks of " + std::to_string(threads) + " threads";
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (threads > kernel->threads) {
      driver.report = std::string("kernel ") + kernel->name + " is made for blocks of " + std::to_string(kernel->threads) +
                      " threads, not " + std::to_string(threads);
      return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
    }
    Launch launched{kernel, grid, block, {}};
    for (u32 i = 0; i < kernel->parameter_count; i++) {
      const char* value = static_cast<const char*>(parameters[i]);
      launched.values.insert(launched.values.end(), value, value + kernel->parameter_bytes[i]);
    }
    return enqueue(*stream, [launched = std::move(launched)] { return launched.run(); });
  });
}

/** The record that cuLaunchKernelEx takes. Its attributes change when a kernel may begin, which here it does in order. */
struct LaunchConfig {
  u32 grid_x, grid_y, grid_z;
  u32 block_x, block_y, block_z;
  u32 shared_bytes;
  void* stream;
  const void* attributes;
  u32 attribute_count;
};

}  // namespace
}  // namespace emulated

using namespace emulated;

extern "C" {

CUresult cuModuleLoadData(void** handle, const void* image) {
  return call(Needs::context, [&] {
    const std::size_t bytes = bytes_of_image(image);
    if (bytes == 0) {
      driver.report = "the module is no shared object: fat binaries and PTX are for a device";
      return CUDA_ERROR_NO_BINARY_FOR_GPU;
    }
    void* library = load_library(image, bytes);
    if (library == nullptr) return CUDA_ERROR_INVALID_IMAGE;
    Module* module = new Module{library};
    driver.modules.insert(module);
    driver.counts.modules++;
    *handle = module;
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleLoadDataEx(void** handle, const void* image, unsigned, void*, void*) { return cuModuleLoadData(handle, image); }

CUresult cuModuleUnload(void* handle) {
  return call(Needs::context, [&] {
    Module* module = static_cast<Module*>(handle);
    if (driver.modules.count(module) == 0) return CUDA_ERROR_INVALID_HANDLE;
    const CUresult finished = drain_all(true);
    driver.modules.erase(module);
    driver.counts.modules--;
    dlclose(module->library);
    delete module;
    return finished;
  });
}

CUresult cuModuleGetFunction(void** function, void* handle, const char* name) {
  return call(Needs::context, [&] {
    Module* module = static_cast<Module*>(handle);
    if (driver.modules.count(module) == 0) return CUDA_ERROR_INVALID_HANDLE;
    *function = dlsym(module->library, (std::string("emulated_kernel_") + name).c_str());
    return *function == nullptr ? CUDA_ERROR_NOT_FOUND : CUDA_SUCCESS;
  });
}

/** The only attribute that means something here is 0, the threads of a block. */
CUresult cuFuncGetAttribute(int* value, int attribute, void* function) {
  return call(Needs::context, [&] {
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *value = attribute == 0 ? int(static_cast<const Kernel*>(function)->threads) : 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncSetAttribute(void* function, int, int) {
  return call(Needs::context, [&] { return function == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS; });
}

CUresult cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                        unsigned block_z, unsigned, void* stream, void** parameters, void** extra) {
  return launch(static_cast<const Kernel*>(function), {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, stream, parameters,
                extra);
}

CUresult cuLaunchKernelEx(const LaunchConfig* config, void* function, void** parameters, void** extra) {
  return launch(static_cast<const Kernel*>(function), {config->grid_x, config->grid_y, config->grid_z},
                {config->block_x, config->block_y, config->block_z}, config->stream, parameters, extra);
}

}  // extern "C"
