/**
 * The header that every emitted CUDA file includes: types named as in the kernel IR, memory, operators and functions on vectors, and
 * wrappers around what needs PTX.
 *
 * The folder `emulated/` has another header of this name, for compilers of the host. What kernels may use of either is the same, so
 * a name that is added here is added there.
 */

/** The file name under which emitted kernels include it. */
export const preambleName = "phdc.cuh";

export function cudaPreamble(): string {
  return [types, memory, ...[2, 4].map(vectorOperators), math, bits, subgroups, matrices, copies, launches, ""].join(
    "\n",
  );
}

const types = `// Types and functions of phdc kernels in CUDA C++. PTX stands only in the last three sections.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

using f32 = float;
using f16 = __half;
using bf16 = __nv_bfloat16;
using i32 = int;
using u32 = unsigned int;

template <typename T> struct alignas(2 * sizeof(T)) vec2 { T x, y; };
template <typename T> struct alignas(4 * sizeof(T)) vec4 { T x, y, z, w; };

// Floats become integers toward zero and stay in range.
template <typename To, typename From> __device__ inline To convert(From from) {
  if constexpr (sizeof(From) == 2) return convert<To>(f32(from));
  else return To(from);
}
template <> __device__ inline i32 convert<i32, f32>(f32 from) { return __float2int_rz(from); }
template <> __device__ inline u32 convert<u32, f32>(f32 from) { return __float2uint_rz(from); }
`;

/** Loads are written `name[index]`; what else touches memory is a function of the memory and an index, which an emulator can check. */
const memory = `// Device memory of a kernel's parameter, which no other parameter overlaps.
template <typename T> using buffer = T* __restrict__;
// Memory that earlier kernels write: loads of it stay behind await_previous(), which those of a constant buffer need not.
template <typename T> using produced = T*;
// An array of the block. Sixteen bytes, so that vectors, asynchronous copies and matrix loads find their elements aligned.
#define SHARED(type, name, length) __shared__ alignas(16) type name[length]

// A load of what is loaded once: it stays before await_previous() if it is written there, and passes by the first-level cache.
template <typename T, typename Index> __device__ inline T load_once(const T* from, Index index) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 16, "one load");
  const T* place = from + index;
  T loaded;
  u32* words = reinterpret_cast<u32*>(&loaded);
  if constexpr (sizeof(T) == 16) {
    asm volatile("ld.global.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3]) : "l"(__cvta_generic_to_global(place)));
  } else if constexpr (sizeof(T) == 8) {
    asm volatile("ld.global.L1::no_allocate.L2::256B.v2.u32 {%0, %1}, [%2];"
                 : "=r"(words[0]), "=r"(words[1]) : "l"(__cvta_generic_to_global(place)));
  } else {
    asm volatile("ld.global.L1::no_allocate.L2::256B.u32 %0, [%1];"
                 : "=r"(words[0]) : "l"(__cvta_generic_to_global(place)));
  }
  return loaded;
}
template <typename T, typename Index> __device__ inline void store(T* to, Index index, T value) { to[index] = value; }
// Both return the value before.
template <typename Index> __device__ inline u32 atomic_add(u32* to, Index index, u32 value) {
  return atomicAdd(&to[index], value);
}
template <typename Index> __device__ inline u32 atomic_max(u32* to, Index index, u32 value) {
  return atomicMax(&to[index], value);
}
`;

/** Componentwise operators and functions for vectors of one width. */
function vectorOperators(width: number): string {
  const parts = [..."xyzw"].slice(0, width);
  const vector = `vec${width}`;
  const each = (spell: (part: string) => string) => `{${parts.map(spell).join(", ")}}`;
  const define = (result: string, name: string, parameters: string, body: string) =>
    `template <typename T> __device__ inline ${result} ${name}(${parameters}) { return ${body}; }`;
  const both = `${vector}<T> a, ${vector}<T> b`;
  const lines = [
    ...["+", "-", "*", "/", "%", "&", "|", "^"].map((sign) =>
      define(
        `${vector}<T>`,
        `operator${sign}`,
        both,
        each((part) => `a.${part} ${sign} b.${part}`),
      ),
    ),
    ...["<<", ">>"].map((sign) =>
      define(
        `${vector}<T>`,
        `operator${sign}`,
        `${vector}<T> a, ${vector}<u32> b`,
        each((part) => `a.${part} ${sign} b.${part}`),
      ),
    ),
    ...["==", "!=", "<", "<=", ">", ">="].map((sign) =>
      define(
        `${vector}<bool>`,
        `operator${sign}`,
        both,
        each((part) => `a.${part} ${sign} b.${part}`),
      ),
    ),
    ...["+", "-", "*", "/"].map(
      (sign) =>
        `template <typename T> __device__ inline void operator${sign}=(${vector}<T>& a, ${vector}<T> b) { a = a ${sign} b; }`,
    ),
    ...["-", "~", "!"].map((sign) =>
      define(
        `${vector}<T>`,
        `operator${sign}`,
        `${vector}<T> a`,
        each((part) => `${sign}a.${part}`),
      ),
    ),
    ...["abs", "exp", "exp2", "log", "log2", "sqrt", "rsqrt", "tanh", "floor", "ceil"].map((name) =>
      define(
        `${vector}<T>`,
        name,
        `${vector}<T> a`,
        each((part) => `${name}(a.${part})`),
      ),
    ),
    ...["min", "max", "fmod"].map((name) =>
      define(
        `${vector}<T>`,
        name,
        both,
        each((part) => `${name}(a.${part}, b.${part})`),
      ),
    ),
    define(
      `${vector}<T>`,
      "fma",
      `${both}, ${vector}<T> c`,
      each((part) => `fma(a.${part}, b.${part}, c.${part})`),
    ),
    define(
      `${vector}<T>`,
      "select",
      `${vector}<bool> condition, ${vector}<T> yes, ${vector}<T> no`,
      each((part) => `condition.${part} ? yes.${part} : no.${part}`),
    ),
    define(
      `${vector}<T>`,
      `fill${width}`,
      "T value",
      each(() => "value"),
    ),
    define("T", "dot", both, parts.map((part) => `a.${part} * b.${part}`).join(" + ")),
    `template <typename To, typename T> __device__ inline ${vector}<To> convert(${vector}<T> a) { return ${each((part) => `convert<To>(a.${part})`)}; }`,
  ];
  return `${lines.join("\n")}\n`;
}

const halfFunctions: readonly (readonly [name: string, intrinsic: string])[] = [
  ["abs", "__habs"],
  ["exp", "hexp"],
  ["exp2", "hexp2"],
  ["log", "hlog"],
  ["log2", "hlog2"],
  ["sqrt", "hsqrt"],
  ["rsqrt", "hrsqrt"],
  ["floor", "hfloor"],
  ["ceil", "hceil"],
];

const math = `${halfFunctions
  .map(([name, intrinsic]) => `__device__ inline f16 ${name}(f16 a) { return ${intrinsic}(a); }`)
  .join("\n")}
__device__ inline f16 tanh(f16 a) { return f16(tanhf(f32(a))); }
__device__ inline f16 fmod(f16 a, f16 b) { return f16(fmodf(f32(a), f32(b))); }
__device__ inline f16 min(f16 a, f16 b) { return __hmin(a, b); }
__device__ inline f16 max(f16 a, f16 b) { return __hmax(a, b); }
__device__ inline f16 fma(f16 a, f16 b, f16 c) { return __hfma(a, b, c); }
template <typename T> __device__ inline T clamp(T value, T low, T high) { return min(max(value, low), high); }
`;

const bits = `template <typename To, typename From> __device__ inline To bitcast(From from) {
  static_assert(sizeof(To) == sizeof(From), "a bitcast keeps the size");
  To to;
  memcpy(&to, &from, sizeof(To));
  return to;
}
// Two halves in a word, the first in the low bits.
__device__ inline u32 pack_f16(vec2<f32> a) { return bitcast<u32>(__floats2half2_rn(a.x, a.y)); }
__device__ inline u32 pack_bf16(vec2<f32> a) { return bitcast<u32>(__floats2bfloat162_rn(a.x, a.y)); }
__device__ inline vec2<f32> unpack_f16(u32 word) {
  const float2 pair = __half22float2(bitcast<__half2>(word));
  return {pair.x, pair.y};
}
// A bf16 is the upper half of an f32.
__device__ inline vec2<f32> unpack_bf16(u32 word) {
  return {bitcast<f32>(word << 16), bitcast<f32>(word & 0xffff0000u)};
}
// The sums of two pairs of halves.
__device__ inline u32 add_f16(u32 a, u32 b) { return bitcast<u32>(__hadd2(bitcast<__half2>(a), bitcast<__half2>(b))); }
__device__ inline u32 add_bf16(u32 a, u32 b) {
  return bitcast<u32>(__hadd2(bitcast<__nv_bfloat162>(a), bitcast<__nv_bfloat162>(b)));
}
`;

const subgroups = `// Subgroups are warps, and all of their lanes take part.
template <typename T> __device__ inline T subgroup_shuffle_xor(T value, u32 mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}
template <typename T> __device__ inline T subgroup_broadcast(T value, u32 lane) {
  return __shfl_sync(0xffffffffu, value, lane);
}
template <typename T> __device__ inline vec2<T> subgroup_shuffle_xor(vec2<T> value, u32 mask) {
  return {subgroup_shuffle_xor(value.x, mask), subgroup_shuffle_xor(value.y, mask)};
}
template <typename T> __device__ inline vec4<T> subgroup_shuffle_xor(vec4<T> value, u32 mask) {
  return {subgroup_shuffle_xor(value.x, mask), subgroup_shuffle_xor(value.y, mask),
          subgroup_shuffle_xor(value.z, mask), subgroup_shuffle_xor(value.w, mask)};
}
template <typename T> __device__ inline vec2<T> subgroup_broadcast(vec2<T> value, u32 lane) {
  return {subgroup_broadcast(value.x, lane), subgroup_broadcast(value.y, lane)};
}
template <typename T> __device__ inline vec4<T> subgroup_broadcast(vec4<T> value, u32 lane) {
  return {subgroup_broadcast(value.x, lane), subgroup_broadcast(value.y, lane),
          subgroup_broadcast(value.z, lane), subgroup_broadcast(value.w, lane)};
}
template <typename T> __device__ inline T subgroup_add(T value) {
  for (u32 mask = 1; mask < 32; mask *= 2) value = value + subgroup_shuffle_xor(value, mask);
  return value;
}
template <typename T> __device__ inline T subgroup_max(T value) {
  for (u32 mask = 1; mask < 32; mask *= 2) value = max(value, subgroup_shuffle_xor(value, mask));
  return value;
}
template <typename T> __device__ inline T subgroup_min(T value) {
  for (u32 mask = 1; mask < 32; mask *= 2) value = min(value, subgroup_shuffle_xor(value, mask));
  return value;
}
`;

/** The mnemonic names both operand types; the sums are f32. */
const product = (
  type: string,
  mnemonic: string,
) => `template <> __device__ inline vec4<f32> mma_m16n8k16<${type}>(vec4<u32> a, vec2<u32> b, vec4<f32> c) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.${mnemonic}.${mnemonic}.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c.x), "+f"(c.y), "+f"(c.z), "+f"(c.w)
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
  return c;
}`;

const matrixLoad = (
  name: string,
  modifier: string,
) => `template <> __device__ inline vec2<u32> ${name}<vec2<u32>>(const vec4<u32>* rows, u32 row) {
  vec2<u32> loaded;
  asm volatile("ldmatrix.sync.aligned.m8n8.x2${modifier}.shared.b16 {%0, %1}, [%2];"
               : "=r"(loaded.x), "=r"(loaded.y) : "r"(shared_address(rows + row)) : "memory");
  return loaded;
}
template <> __device__ inline vec4<u32> ${name}<vec4<u32>>(const vec4<u32>* rows, u32 row) {
  vec4<u32> loaded;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4${modifier}.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(loaded.x), "=r"(loaded.y), "=r"(loaded.z), "=r"(loaded.w) : "r"(shared_address(rows + row)) : "memory");
  return loaded;
}`;

const matrices = `// Matrix units: a * b + c for fragments of m16n8k16, and 8 x 8 matrices of halves from shared memory, a row per lane.
template <typename T> __device__ vec4<f32> mma_m16n8k16(vec4<u32> a, vec2<u32> b, vec4<f32> c);
${product("bf16", "bf16")}
${product("f16", "f16")}
__device__ inline u32 shared_address(const void* place) {
  return static_cast<u32>(__cvta_generic_to_shared(place));
}
template <typename T> __device__ T matrix_load(const vec4<u32>* rows, u32 row);
template <typename T> __device__ T matrix_load_transposed(const vec4<u32>* rows, u32 row);
${matrixLoad("matrix_load", "")}
${matrixLoad("matrix_load_transposed", ".trans")}
`;

const copies = `// Copies from device to shared memory beside computation; zeros are stored where nothing is to be read.
template <typename T, typename To, typename From>
__device__ inline void async_copy(T* array, To to, const T* memory, From from, bool reads = true) {
  const u32 bytes = reads ? sizeof(T) : 0;
  if constexpr (sizeof(T) == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :: "r"(shared_address(array + to)), "l"(__cvta_generic_to_global(memory + from)), "r"(bytes) : "memory");
  } else {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "asynchronous copies move 4, 8 or 16 bytes");
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;"
                 :: "r"(shared_address(array + to)), "l"(__cvta_generic_to_global(memory + from)), "n"(sizeof(T)), "r"(bytes) : "memory");
  }
}
__device__ inline void async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int pending> __device__ inline void async_wait() {
  asm volatile("cp.async.wait_group %0;" :: "n"(pending) : "memory");
}
`;

const launches = `// A kernel that begins before the one before it has ended waits for it; devices before sm_90 start kernels one after the other.
__device__ inline void await_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
__device__ inline void release_next() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
// Brings elements into the second-level cache; a multiple of sixteen bytes. CUDA 11 does not know the instruction.
template <typename T, typename Index> __device__ inline void prefetch(const T* memory, Index from, u32 count) {
#if __CUDA_ARCH__ >= 900 && __CUDACC_VER_MAJOR__ >= 12
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;"
               :: "l"(__cvta_generic_to_global(memory + from)), "r"(count * u32(sizeof(T))));
#endif
}
`;
