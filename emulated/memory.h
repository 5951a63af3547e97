// Device memory and shared arrays that check what touches them: bounds, alignment, races, and values that nobody has stored.
#pragma once
#include <type_traits>

namespace emulated {

/** In place of a thread: several threads, or those that updated an element by atomic operations. */
constexpr u32 several = 0xffffffff;
constexpr u32 atomics = 0xfffffffe;
/** In place of a period: an asynchronous copy of the writer is under way. */
constexpr u32 in_flight = 0xffffffff;

/** Who stored an element last and who loaded it last, and in which periods; 0 is before the first period. */
struct Trace {
  u32 stored;
  u32 storer;
  u32 loaded;
  u32 loader;
};

/** Shared memory: a barrier orders everything, and what is left of other blocks does not matter. */
struct SharedOrder {
  static u32 thread() { return running.thread; }
  static bool unordered(u32 period) { return period == running.period; }
  /** Whether a load must go on to be known, because nothing will order it. */
  static bool stays(u32) { return false; }
};

/** Device memory: a barrier orders what the threads of one block do; nothing orders the blocks of a launch. */
struct DeviceOrder {
  static u32 thread() { return running.launch_thread; }
  static bool unordered(u32 period) { return period == running.period || stays(period); }
  static bool stays(u32 period) { return period >= running.launch_period && period < running.first_period; }
};

/** Checks and notes accesses of the running thread to an element. */
template <typename Order> struct Watch {
  Trace& trace;
  Region region;
  Place place;

  void load(Access access, u32 thread = Order::thread()) const {
    if (trace.storer != thread && Order::unordered(trace.stored)) fault_race(region, place, access, trace.storer, true);
    if (Order::stays(trace.loaded)) {
      trace.loader = several;
      return;
    }
    trace.loader = trace.loaded == running.period && trace.loader != thread ? several : thread;
    trace.loaded = running.period;
  }
  void check_store(Access access) const {
    const u32 thread = Order::thread();
    if (trace.storer != thread && Order::unordered(trace.stored)) fault_race(region, place, access, trace.storer, true);
    if (trace.loader != thread && Order::unordered(trace.loaded)) fault_race(region, place, access, trace.loader, false);
  }
  void store(Access access) const {
    check_store(access);
    trace.stored = running.period;
    trace.storer = Order::thread();
  }
};

/**
 * What a load gives of shared memory that no thread of the block has stored. A kernel may load it as long as nothing comes of it: lanes
 * past the end of a tile compute like the others, and what they compute is thrown away. So it is a number that is none, as an f32 and
 * as two halves, and arithmetic hands it on.
 */
constexpr u32 unstored = 0xfff1fff1;

template <typename T> T unstored_value() {
  T value;
  for (std::size_t at = 0; at < sizeof(T); at += sizeof(u32)) {
    std::memcpy(reinterpret_cast<char*>(&value) + at, &unstored, sizeof(T) < sizeof(u32) ? sizeof(T) : sizeof(u32));
  }
  return value;
}

/** Whether a value was computed from what no thread has stored: as it is, or as bf16 or f16 become f32. */
inline bool is_unstored(f32 value) {
  const u32 upper = same_bits<u32>(value) >> 16;
  return upper == unstored >> 16 || upper == 0xfffe;
}
inline bool is_unstored(vec2<f32> value) { return is_unstored(value.x) || is_unstored(value.y); }
inline bool is_unstored(vec4<f32> value) {
  return is_unstored(value.x) || is_unstored(value.y) || is_unstored(value.z) || is_unstored(value.w);
}
template <typename T> bool is_unstored(T) { return false; }

// The longer checks are not inlined: kernels compile in two thirds of the time and run about as fast.

/** An array of the block. Its elements and traces stand for one block after the other; periods tell the blocks apart. */
template <typename T> struct SharedArray {
  T* elements;
  Trace* traces;
  u32 count;
  const char* name;

  T operator[](Place place) const { return load(place, running.thread); }

  /** Loads for the whole warp: what even this thread stored in this period may not be there for the other lanes. */
  T load_for_warp(Place place) const { return load(place, several); }

  [[gnu::noinline]] void store(Place place, T value) const {
    watch(landed(place, Access::store), place).store(Access::store);
    elements[place.index] = value;
  }

  template <typename Update> T update(Place place, Update updated) const {
    Trace& trace = landed(place, Access::atomic);
    if (!is_stored(trace)) fault_unstored(region(), place, Access::atomic);
    const bool by_atomics = trace.stored == running.period && trace.storer == atomics;
    if (!by_atomics) watch(trace, place).check_store(Access::atomic);
    trace.stored = running.period;
    trace.storer = atomics;
    const T before = elements[place.index];
    elements[place.index] = updated(before);
    return before;
  }

  void copy(Place place, const void* from) const {
    Trace& trace = landed(place, Access::copy_to);
    watch(trace, place).check_store(Access::copy_to);
    trace.stored = in_flight;
    trace.storer = running.thread;
    start_copy({&elements[place.index], from, sizeof(T), &trace});
  }

 private:
  Region region() const { return {name, elements, count, sizeof(T), true}; }
  Watch<SharedOrder> watch(Trace& trace, Place place) const { return {trace, region(), place}; }

  Trace& inside(Place place, Access access) const {
    if (std::uint64_t(place.index) >= count) fault_outside(region(), place, access);
    return traces[place.index];
  }
  /** No copy to the element is under way. */
  Trace& landed(Place place, Access access) const {
    Trace& trace = inside(place, access);
    if (trace.stored == in_flight) fault_in_flight(region(), place, access, trace.storer);
    return trace;
  }
  /** By this block: older periods are other blocks'. */
  static bool is_stored(const Trace& trace) { return trace.stored >= running.first_period; }

  [[gnu::noinline]] T load(Place place, u32 thread) const {
    Trace& trace = landed(place, Access::load);
    watch(trace, place).load(Access::load, thread);
    if (is_stored(trace)) return elements[place.index];
    // Integers steer what a kernel does, and have no value that shows.
    if (std::is_same<T, u32>::value || std::is_same<T, i32>::value) fault_unstored(region(), place, Access::load);
    return unstored_value<T>();
  }
};

}  // namespace emulated

#define SHARED(type, name, length) \
  alignas(16) static type name##_elements[length]; \
  static emulated::Trace name##_traces[length]; \
  const emulated::SharedArray<type> name = {name##_elements, name##_traces, length, #name}

/** Device memory of a kernel's parameter. */
template <typename T> class buffer {
 public:
  using Element = std::remove_const_t<T>;

  /** `traces` is null where no thread of the launch stores; an element has `cells` of them. Whether any kernel stores is `changes`. */
  buffer(T* elements, std::uint64_t count, const char* name, emulated::Trace* traces, u32 cells, bool changes)
      : elements_(elements), count_(count), name_(name), traces_(traces), cells_(cells), changes_(changes) {}

  /** The same memory from another element on. */
  buffer operator+(u32 elements) const {
    if (elements > count_) emulated::fault_outside(region(), elements, emulated::Access::load);
    emulated::Trace* traces = traces_ == nullptr ? nullptr : traces_ + std::size_t(elements) * cells_;
    return {elements_ + elements, count_ - elements, name_, traces, cells_, changes_};
  }
  /** The same memory as elements of another type. */
  template <typename Other> explicit buffer(const buffer<Other>& other)
      : elements_(reinterpret_cast<T*>(const_cast<std::remove_const_t<Other>*>(other.elements_))),
        count_(other.count_ * sizeof(Other) / sizeof(T)),
        name_(other.name_),
        traces_(other.traces_),
        cells_(std::size_t(other.cells_) * sizeof(T) / sizeof(Other)),
        changes_(other.changes_) {
    // Nothing may be accessed through a misaligned address; the report finds the reason.
    if (reinterpret_cast<std::uintptr_t>(elements_) % alignof(T) != 0) count_ = 0;
  }

  Element operator[](emulated::Place place) const { return *load(place, emulated::Access::load); }

  [[gnu::noinline]] void store(emulated::Place place, Element value) const {
    static_assert(!std::is_const<T>::value, "a kernel stores to a buffer that it only reads");
    inside(place, emulated::Access::store);
    if (emulated::is_unstored(value)) emulated::fault_unstored(region(), place, emulated::Access::store);
    for (u32 cell = 0; traces_ != nullptr && cell < cells_; cell++) watch(place, cell).store(emulated::Access::store);
    elements_[place.index] = value;
  }

  /** Where an element is, after the checks of a load. */
  const T* load(emulated::Place place, emulated::Access access) const {
    inside(place, access);
    if (traces_ != nullptr) note_load(place, access);
    return &elements_[place.index];
  }

 private:
  template <typename Other> friend class buffer;

  emulated::Region region() const { return {name_, elements_, count_, sizeof(T), false}; }
  emulated::Watch<emulated::DeviceOrder> watch(emulated::Place place, u32 cell) const {
    return {traces_[place.index * cells_ + cell], region(), place};
  }
  [[gnu::noinline]] void note_load(emulated::Place place, emulated::Access access) const {
    for (u32 cell = 0; cell < cells_; cell++) watch(place, cell).load(access);
  }
  void inside(emulated::Place place, emulated::Access access) const {
    if (std::uint64_t(place.index) >= count_) emulated::fault_outside(region(), place, access);
    if (changes_ && !emulated::running.awaited) emulated::fault_early(region(), place, access);
  }

  T* elements_;
  std::uint64_t count_;
  const char* name_;
  emulated::Trace* traces_;
  u32 cells_;
  bool changes_;
};

namespace emulated {
/** A type that is taken from another argument, so that this one may be converted to it. */
template <typename T> struct Same {
  using type = T;
};
template <typename T> using As = typename Same<T>::type;
}  // namespace emulated

/** Nothing that is checked tells them apart: what earlier kernels write is known by itself. */
template <typename T> using produced = buffer<T>;

template <typename T> inline std::remove_const_t<T> load_once(const buffer<T>& from, emulated::Place place) {
  return from[place];
}

template <typename T> inline void store(const buffer<T>& to, emulated::Place index, emulated::As<T> value) {
  to.store(index, value);
}
template <typename T> inline void store(const emulated::SharedArray<T>& to, emulated::Place index, emulated::As<T> value) {
  to.store(index, value);
}

// Both return the value before.
inline u32 atomic_add(const emulated::SharedArray<u32>& to, emulated::Place index, u32 value) {
  return to.update(index, [value](u32 before) { return before + value; });
}
inline u32 atomic_max(const emulated::SharedArray<u32>& to, emulated::Place index, u32 value) {
  return to.update(index, [value](u32 before) { return max(before, value); });
}

// Copies from device to shared memory that arrive when they are waited for; zeros are stored where nothing is to be read.
template <typename T, typename From>
inline void async_copy(const emulated::SharedArray<T>& array, emulated::Place to, const buffer<From>& memory,
                       emulated::Place from, bool reads = true) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 16, "asynchronous copies move 4, 8 or 16 bytes");
  static_assert(std::is_same<T, std::remove_const_t<From>>::value, "asynchronous copies keep the type");
  array.copy(to, reads ? memory.load(from, emulated::Access::copy_from) : nullptr);
}
inline void async_commit() { emulated::commit_copies(); }
template <int pending> inline void async_wait() { emulated::wait_for_copies(pending); }

// Kernels run one after the other here, but what they touch before they wait is checked.
inline void await_previous() { emulated::await_previous(); }
inline void release_next() {}
// Nothing is brought anywhere, but it has to be there.
template <typename T> inline void prefetch(const buffer<T>& memory, emulated::Place from, u32 count) {
  if (count == 0) return;
  memory.load(from, emulated::Access::load);
  emulated::Place last = from;
  last.index += count - 1;
  memory.load(last, emulated::Access::load);
}
