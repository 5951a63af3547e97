#include "signals.h"

#include <pthread.h>

#include "launch.h"

namespace emulated {

namespace {

constexpr int signals[] = {SIGFPE, SIGSEGV, SIGBUS};
constexpr std::size_t signal_count = sizeof(signals) / sizeof(signals[0]);
/** How the process handles them otherwise. */
struct sigaction usual[signal_count];
/** The thread of the host that runs the kernel. */
pthread_t runner;
/** Handlers have a stack of their own: the kernel's may be what is full. */
char handler_stack[64 * 1024];

void on_signal(int signal, siginfo_t*, void*) {
  if (!pthread_equal(pthread_self(), runner)) {
    // Another thread's fault is none of ours: it happens again, under the process's own handling.
    for (std::size_t i = 0; i < signal_count; i++) {
      if (signals[i] == signal) sigaction(signal, &usual[i], nullptr);
    }
    return;
  }
  const std::string thread = name_thread(running.thread);
  if (signal == SIGFPE) raise_fault(FaultKind::division, thread + " divides an integer by zero");
  raise_fault(FaultKind::crash,
              thread + " touches memory that is not its own: a pointer is used without a check, or its stack is full");
}

}  // namespace

ProcessorFaults::ProcessorFaults() {
  runner = pthread_self();
  stack_t stack = {};
  stack.ss_sp = handler_stack;
  stack.ss_size = sizeof(handler_stack);
  sigaltstack(&stack, &usual_stack_);
  struct sigaction action = {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (std::size_t i = 0; i < signal_count; i++) sigaction(signals[i], &action, &usual[i]);
}

ProcessorFaults::~ProcessorFaults() {
  for (std::size_t i = 0; i < signal_count; i++) sigaction(signals[i], &usual[i], nullptr);
  sigaltstack(&usual_stack_, nullptr);
}

}  // namespace emulated
