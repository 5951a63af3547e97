/** Words that no declaration may use in WGSL: keywords, reserved words, and what our own text refers to. */
const keywords =
  "alias break case const const_assert continue continuing default diagnostic discard else enable false fn for if let loop " +
  "override requires return struct switch true var while";

const reservedWords =
  "NULL Self abstract active alignas alignof as asm asm_fragment async attribute auto await become cast catch class co_await " +
  "co_return co_yield coherent column_major common compile compile_fragment concept const_cast consteval constexpr constinit " +
  "crate debugger decltype delete demote demote_to_helper do dynamic_cast enum explicit export extends extern external " +
  "fallthrough filter final finally friend from fxgroup get goto groupshared highp impl implements import inline instanceof " +
  "interface layout lowp macro macro_rules match mediump meta mod module move mut mutable namespace new nil noexcept noinline " +
  "nointerpolation non_coherent noncoherent noperspective null nullptr of operator package packoffset partial pass patch " +
  "pixelfragment precise precision premerge priv protected pub public readonly ref regardless register reinterpret_cast " +
  "require resource restrict self set shared sizeof smooth snorm static static_assert static_cast std subroutine super target " +
  "template this thread_local throw trait try type typedef typeid typename typeof union unless unorm unsafe unsized use using " +
  "varying virtual volatile wgsl where with writeonly yield";

const usedNames =
  "f32 f16 i32 u32 bool vec2 vec4 array atomic params Params workgroup_id num_workgroups local_id global_id subgroup_lane " +
  "subgroup_size abs exp exp2 log log2 sqrt inverseSqrt tanh floor ceil min max clamp fma select dot bitcast atomicAdd " +
  "atomicMax atomicLoad atomicStore workgroupBarrier workgroupUniformLoad subgroupAdd subgroupMax subgroupMin " +
  "subgroupBroadcast subgroupShuffleXor pack2x16float unpack2x16float pack_bf16 unpack_bf16 add_bf16 add_f16 function private workgroup " +
  "uniform storage read write read_write handle";

export const reservedInWgsl: ReadonlySet<string> = new Set([keywords, reservedWords, usedNames].join(" ").split(" "));
