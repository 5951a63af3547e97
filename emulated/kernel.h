// How the stand-in driver starts a kernel: a record for each, with its parameters as the driver must lay them out.
#pragma once
#include <tuple>
#include <utility>

namespace emulated {

/** Where a buffer parameter points, as the allocations of the device have it. */
struct Binding {
  /** Elements from the address to the end of the allocation; 0 where nothing may be accessed there. */
  std::uint64_t count;
  Trace* traces;
  u32 cells;
  /** Whether this kernel or an earlier one stores there. */
  bool changes;
};

/** First every buffer of a launch is announced, then every one is bound: whether an allocation is traced depends on all of them. */
void announce(const void* address, u32 element_bytes, bool stores);
Binding bind(const void* address, u32 element_bytes, u32 alignment);

/** Runs every thread of every block; returns early where a thread faults. */
void run_grid(void (*thread)(const void* arguments), const void* arguments);

/** A kernel as the driver sees it. */
struct Kernel {
  const char* name;
  /** Threads of a block. */
  u32 threads;
  /** It waits for the kernels before it to end, and may begin before they do. */
  bool awaits;
  u32 parameter_count;
  /** Bytes of each parameter. */
  const u32* parameter_bytes;
  /** `values` points to the value of each parameter. */
  void (*launch)(void* const* values);
};

template <typename T> struct Parameter {
  static constexpr u32 bytes = sizeof(T);
  static void announce(const void*) {}
  static T read(const char*, const void* value) {
    T read;
    std::memcpy(&read, value, sizeof(T));
    return read;
  }
};

template <typename T> struct Parameter<buffer<T>> {
  static constexpr u32 bytes = sizeof(T*);
  static void announce(const void* value) { emulated::announce(address(value), sizeof(T), !std::is_const<T>::value); }
  static buffer<T> read(const char* name, const void* value) {
    const Binding bound = bind(address(value), sizeof(T), alignof(T));
    return {address(value), bound.count, name, bound.traces, bound.cells, bound.changes};
  }

 private:
  static T* address(const void* value) {
    T* address;
    std::memcpy(&address, value, sizeof(address));
    return address;
  }
};

/** Starts a kernel, given the names of its parameters. */
template <auto kernel, const char* const* names> struct Start;
template <typename... Parts, void (*kernel)(Parts...), const char* const* names> struct Start<kernel, names> {
  static constexpr u32 parameter_bytes[] = {Parameter<std::remove_const_t<Parts>>::bytes..., 0};
  static constexpr u32 parameter_count = sizeof...(Parts);

  static void launch(void* const* values) { launch(values, std::index_sequence_for<Parts...>()); }

 private:
  template <std::size_t... at> static void launch(void* const* values, std::index_sequence<at...>) {
    (Parameter<std::remove_const_t<Parts>>::announce(values[at]), ...);
    const std::tuple<Parts...> arguments{Parameter<std::remove_const_t<Parts>>::read(names[at], values[at])...};
    run_grid([](const void* given) { std::apply(kernel, *static_cast<const std::tuple<Parts...>*>(given)); }, &arguments);
  }
};

}  // namespace emulated

/** The record of a kernel, under the name by which the driver looks for it. */
#define EMULATED_KERNEL(kernel, threads, awaits, ...) \
  static constexpr const char* kernel##_parameters[] = {__VA_ARGS__}; \
  extern "C" [[gnu::visibility("default")]] const emulated::Kernel emulated_kernel_##kernel = { \
      #kernel, threads, awaits, emulated::Start<kernel, kernel##_parameters>::parameter_count, \
      emulated::Start<kernel, kernel##_parameters>::parameter_bytes, \
      emulated::Start<kernel, kernel##_parameters>::launch};
