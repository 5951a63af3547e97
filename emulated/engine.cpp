// Runs the threads of a block on one thread of the host: each has a stack of its own and goes on until it must wait for others.
//
// Blocks run one after the other, warps and lanes in order of their numbers; PHDC_EMULATED_SEED, a number other than 0, shuffles all
// three, which shows what depends on an order that a device does not promise.
#include <csetjmp>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <vector>

#include <sys/mman.h>
#include <ucontext.h>

#include "launch.h"
#include "signals.h"

namespace emulated {

Dimensions threadIdx, blockIdx, blockDim, gridDim;
Running running;

namespace {

/** Kernels keep their arrays in registers, or here. A page below each stack catches what does not fit. */
constexpr std::size_t stack_bytes = 128 * 1024;
constexpr std::size_t guard_bytes = 4096;

enum class State { ready, at_barrier, in_warp, ended };

/** A place in the run of a stack, to which another one can switch. */
struct Context {
  jmp_buf place;
};

[[gnu::noinline]] void switch_context(Context& from, Context& to) {
  if (_setjmp(from.place) == 0) _longjmp(to.place, 1);
}

/** A thread of the block. The same one stands for a thread of the next block afterwards. */
struct Fiber {
  Context context;
  void* stack = nullptr;
  /** Whether the context stands where a thread can begin. */
  bool fresh = false;
  /** The kernels before this one have ended, as far as it may know. */
  bool awaited = true;
  State state = State::ready;
  /** Where it waits, and for what: a barrier, or the operation of its warp with what it brings and takes. */
  int line = 0;
  const char* what = nullptr;
  Join join = nullptr;
  const void* brings = nullptr;
  void* takes = nullptr;
  /** Copies that it has started and not closed, then groups of copies that it has not waited for, the oldest first. */
  std::vector<Copy> open_copies;
  std::vector<std::vector<Copy>> groups;
};

/** Everything about the launch that runs now; there is only ever one. */
struct Launch {
  const Kernel* kernel = nullptr;
  void (*thread)(const void*) = nullptr;
  const void* arguments = nullptr;
  sigjmp_buf ended;
  std::optional<Fault> fault;
};

Launch launch;
std::vector<std::unique_ptr<Fiber>> fibers;
Context scheduler;
ucontext_t home;
u32 periods = 0;
u32 launches = 0;

Fiber& self() { return *fibers[running.thread]; }

/** Lets the next thread of the warp go on that can, or the scheduler; comes back when this one's turn comes again. */
void leave();

/** What runs on a fiber's stack: one thread of a block after the other. */
void run_threads() {
  Fiber& fiber = self();
  // The first time, back to where the stack was made; afterwards the scheduler switches here.
  if (_setjmp(fiber.context.place) == 0) setcontext(&home);
  for (;;) {
    launch.thread(launch.arguments);
    self().state = State::ended;
    leave();
  }
}

void make_fiber(u32 thread) {
  Fiber& fiber = *fibers[thread];
  if (fiber.stack == nullptr) {
    fiber.stack = mmap(nullptr, guard_bytes + stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fiber.stack == MAP_FAILED) std::abort();
    mprotect(fiber.stack, guard_bytes, PROT_NONE);
  }
  ucontext_t context;
  getcontext(&context);
  context.uc_stack.ss_sp = static_cast<char*>(fiber.stack) + guard_bytes;
  // Stacks end in different places of their pages, or the processor's cache would hold a few of them at a time.
  context.uc_stack.ss_size = stack_bytes - thread % 13 * 320;
  context.uc_link = nullptr;
  makecontext(&context, run_threads, 0);
  running.thread = thread;
  swapcontext(&home, &context);
  fiber.fresh = true;
}

/** Copies that nobody has waited for never arrive, and do not concern the next block. */
void drop_copies() {
  for (const auto& fiber : fibers) {
    if (fiber->open_copies.empty() && fiber->groups.empty()) continue;
    fiber->groups.push_back(std::move(fiber->open_copies));
    for (const auto& group : fiber->groups) {
      for (const Copy& copy : group) copy.trace->stored = 0;
    }
    fiber->groups.clear();
    fiber->open_copies.clear();
  }
}

/** A shuffled or plain list of the numbers below `count`. */
class Order {
 public:
  explicit Order(u32 count) : numbers_(count) { std::iota(numbers_.begin(), numbers_.end(), 0u); }
  void shuffle(std::uint64_t& seed) {
    for (std::size_t left = numbers_.size(); left > 1; left--) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      std::swap(numbers_[left - 1], numbers_[(seed >> 33) % left]);
    }
  }
  u32 operator[](u32 at) const { return numbers_[at]; }
  auto begin() const { return numbers_.begin(); }
  auto end() const { return numbers_.end(); }

 private:
  std::vector<u32> numbers_;
};

std::string wait_of(const Fiber& fiber) {
  if (fiber.state == State::ended) return "it has ended";
  const std::string place = fiber.state == State::at_barrier ? "at the barrier" : std::string("in ") + fiber.what;
  return "it waits " + place + " at " + name_line(fiber.line);
}

[[noreturn]] void fault_divergence(u32 here, u32 elsewhere) {
  const Fiber& fiber = *fibers[here];
  running.thread = here;
  const std::string what = fiber.state == State::at_barrier ? "at a barrier" : std::string("in ") + fiber.what;
  raise_fault(FaultKind::divergence, name_thread(here) + " waits " + what + " at " + name_line(fiber.line) + ", which thread " +
                                         std::to_string(elsewhere) + " does not reach: " + wait_of(*fibers[elsewhere]));
}

bool waits_alike(const Fiber& a, const Fiber& b) { return a.state == b.state && a.line == b.line && a.what == b.what; }

/** The threads of one block after the other. */
class Block {
 public:
  Block(u32 threads, std::uint64_t seed)
      : threads_(threads), seed_(seed), warps_((threads + warp_lanes - 1) / warp_lanes), lanes_(warp_lanes) {}

  /** @param number in the grid */
  void run(u32 number) {
    number_ = number;
    running.first_period = running.period = ++periods;
    for (u32 thread = 0; thread < threads_; thread++) {
      fibers[thread]->state = State::ready;
      fibers[thread]->awaited = !launch.kernel->awaits;
    }
    if (seed_ != 0) {
      warps_.shuffle(seed_);
      lanes_.shuffle(seed_);
    }
    do {
      for (const u32 warp : warps_) run_warp(warp * warp_lanes);
    } while (pass());
    drop_copies();
  }

  /** Makes the next thread of the warp that can go on the running one; null where there is none. */
  Fiber* next() {
    while (lane_ < warp_lanes) {
      const u32 thread = first_ + lanes_[lane_++];
      if (thread >= last_ || fibers[thread]->state != State::ready) continue;
      running.thread = thread;
      running.awaited = fibers[thread]->awaited;
      running.launch_thread = number_ * threads_ + thread;
      threadIdx = {thread, 0, 0};
      if (thread >= blockDim.x) threadIdx = {thread % blockDim.x, thread / blockDim.x % blockDim.y, thread / (blockDim.x * blockDim.y)};
      return fibers[thread].get();
    }
    return nullptr;
  }

 private:
  /** Until every lane is at a barrier or has ended. */
  void run_warp(u32 first) {
    const u32 last = std::min(first + warp_lanes, threads_);
    first_ = first;
    last_ = last;
    for (;;) {
      lane_ = 0;
      if (Fiber* fiber = next()) switch_context(scheduler, fiber->context);
      u32 meets = first;
      while (meets < last && fibers[meets]->state != State::in_warp) meets++;
      if (meets == last) return;
      for (u32 thread = first; thread < last; thread++) {
        if (!waits_alike(*fibers[meets], *fibers[thread])) fault_divergence(meets, thread);
      }
      if (last - first < warp_lanes) {
        running.thread = meets;
        raise_fault(FaultKind::divergence, name_thread(meets) + " waits in " + fibers[meets]->what + " at " +
                                               name_line(fibers[meets]->line) + ", but its warp has only " +
                                               std::to_string(last - first) + " lanes");
      }
      const void* brought[warp_lanes];
      void* taken[warp_lanes];
      for (u32 lane = 0; lane < warp_lanes; lane++) {
        Fiber& fiber = *fibers[first + lane];
        brought[lane] = fiber.brings;
        taken[lane] = fiber.takes;
        fiber.state = State::ready;
      }
      fibers[first]->join(brought, taken);
    }
  }

  /** Lets all threads pass a barrier; false where they have ended instead. */
  bool pass() {
    u32 waiting = 0;
    while (waiting < threads_ && fibers[waiting]->state == State::ended) waiting++;
    if (waiting == threads_) return false;
    for (u32 thread = 0; thread < threads_; thread++) {
      if (!waits_alike(*fibers[waiting], *fibers[thread])) fault_divergence(waiting, thread);
    }
    for (u32 thread = 0; thread < threads_; thread++) fibers[thread]->state = State::ready;
    running.period = ++periods;
    return true;
  }

  u32 threads_;
  std::uint64_t seed_;
  Order warps_;
  Order lanes_;
  u32 number_ = 0;
  /** The warp that runs, and the lane whose turn is next. */
  u32 first_ = 0, last_ = 0, lane_ = 0;
};

Block* running_block = nullptr;

void leave() {
  Fiber& fiber = self();
  Fiber* next = running_block->next();
  switch_context(fiber.context, next == nullptr ? scheduler : next->context);
}

std::uint64_t seed_of_environment() {
  const char* text = std::getenv("PHDC_EMULATED_SEED");
  return text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
}

}  // namespace

void await_previous() { self().awaited = running.awaited = true; }

void pass_barrier(int line) {
  Fiber& fiber = self();
  fiber.state = State::at_barrier;
  fiber.line = line;
  fiber.what = nullptr;
  leave();
}

void meet_warp(const char* what, int line, Join join, const void* brings, void* takes) {
  Fiber& fiber = self();
  fiber.state = State::in_warp;
  fiber.line = line;
  fiber.what = what;
  fiber.join = join;
  fiber.brings = brings;
  fiber.takes = takes;
  leave();
}

void start_copy(Copy copy) { self().open_copies.push_back(copy); }

void commit_copies() {
  Fiber& fiber = self();
  fiber.groups.push_back(std::move(fiber.open_copies));
  fiber.open_copies.clear();
}

void wait_for_copies(u32 pending) {
  auto& groups = self().groups;
  while (groups.size() > pending) {
    for (const Copy& copy : groups.front()) {
      if (copy.from == nullptr) std::memset(copy.to, 0, copy.bytes);
      else std::memcpy(copy.to, copy.from, copy.bytes);
      copy.trace->stored = running.period;
      copy.trace->storer = running.thread;
    }
    groups.erase(groups.begin());
  }
}

void run_grid(void (*thread)(const void*), const void* arguments) {
  launch.thread = thread;
  launch.arguments = arguments;
  const u32 threads = blockDim.x * blockDim.y * blockDim.z;
  while (fibers.size() < threads) fibers.push_back(std::make_unique<Fiber>());
  for (u32 i = 0; i < threads; i++) {
    if (!fibers[i]->fresh) make_fiber(i);
  }
  std::uint64_t seed = seed_of_environment();
  Order blocks(gridDim.x * gridDim.y * gridDim.z);
  if (seed != 0) blocks.shuffle(seed);
  Block block(threads, seed);
  running_block = &block;
  for (const u32 number : blocks) {
    blockIdx = {number % gridDim.x, number / gridDim.x % gridDim.y, number / (gridDim.x * gridDim.y)};
    block.run(number);
  }
}

void raise_fault(FaultKind kind, std::string report) {
  launch.fault = Fault{kind, std::move(report)};
  drop_copies();
  // Threads that have begun stand somewhere in a kernel, so their stacks are made anew.
  for (const auto& fiber : fibers) fiber->fresh = false;
  siglongjmp(launch.ended, 1);
}

const char* running_kernel() { return launch.kernel->name; }

std::optional<Fault> run_kernel(const Kernel& kernel, Dimensions grid, Dimensions block, void* const* values) {
  const ProcessorFaults faults;
  launch.kernel = &kernel;
  launch.fault.reset();
  gridDim = grid;
  blockDim = block;
  running.launch = ++launches;
  running.launch_period = periods + 1;
  if (sigsetjmp(launch.ended, 1) == 0) kernel.launch(values);
  return std::move(launch.fault);
}

}  // namespace emulated
