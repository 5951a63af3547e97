/** Words that no declaration may use in CUDA C++: keywords, built-ins, and what our own text refers to. */
const keywords =
  "alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class compl concept " +
  "const consteval constexpr constinit const_cast continue co_await co_return co_yield decltype default delete do double " +
  "dynamic_cast else enum explicit export extern false float for friend goto if inline int long mutable namespace new noexcept " +
  "not not_eq nullptr operator or or_eq private protected public register reinterpret_cast requires return short signed sizeof " +
  "static static_assert static_cast struct switch template this thread_local throw true try typedef typeid typename union " +
  "unsigned using virtual void volatile wchar_t while xor xor_eq";

const usedNames =
  "f32 f16 bf16 i32 u32 vec2 vec4 params threadIdx blockIdx blockDim gridDim warpSize abs exp exp2 log log2 sqrt rsqrt tanh floor " +
  "ceil min max fma fmod dot fill2 fill4 select convert bitcast clamp pack_f16 pack_bf16 unpack_f16 unpack_bf16 add_f16 " +
  "add_bf16 subgroup_add subgroup_max subgroup_min subgroup_broadcast subgroup_shuffle_xor mma_m16n8k16 matrix_load " +
  "matrix_load_transposed async_copy async_commit async_wait await_previous release_next prefetch shared_address atomic_add " +
  "atomic_max atomicAdd atomicMax half buffer produced load_once SHARED store emulated";

export const reservedInCuda: ReadonlySet<string> = new Set([keywords, usedNames].join(" ").split(" "));
