// Faults that the host's processor finds: they are raised by the thread that runs the kernel, and end the launch.
#pragma once
#include <csignal>

namespace emulated {

/** Makes faults of the running kernel of what the processor refuses, while it lives. */
class ProcessorFaults {
 public:
  ProcessorFaults();
  ~ProcessorFaults();

 private:
  stack_t usual_stack_;
};

}  // namespace emulated
