// The header of emitted CUDA kernels for a C++ compiler of the host: the same names as the one that a package carries for nvcc, so
// that the very same text of a kernel runs on a machine without a GPU, one thread after the other, with every access checked.
#pragma once
#include "engine.h"

#define __global__
#define __device__
#define __launch_bounds__(...)

using emulated::f32;
using emulated::i32;
using emulated::u32;

// Where the running thread stands. The engine sets them.
using emulated::blockDim;
using emulated::blockIdx;
using emulated::gridDim;
using emulated::threadIdx;

inline void __syncthreads(int line = __builtin_LINE()) { emulated::pass_barrier(line); }

#include "halves.h"
#include "vectors.h"
#include "memory.h"
#include "warp.h"
#include "kernel.h"
