// Scalar functions under the names that kernels use, vectors of two and four, and bits.
#pragma once
#include <math.h>

inline f32 rsqrt(f32 a) { return 1.0f / std::sqrt(a); }
// Like the device's, these give the other value where one is no number.
inline f32 min(f32 a, f32 b) { return b != b || a < b ? a : b; }
inline f32 max(f32 a, f32 b) { return b != b || a > b ? a : b; }
inline i32 min(i32 a, i32 b) { return a < b ? a : b; }
inline i32 max(i32 a, i32 b) { return a > b ? a : b; }
inline u32 min(u32 a, u32 b) { return a < b ? a : b; }
inline u32 max(u32 a, u32 b) { return a > b ? a : b; }

#define FUNCTION_OF_HALF(name) \
  inline f16 name(f16 a) { return f16(name(f32(a))); }
FUNCTION_OF_HALF(abs)
FUNCTION_OF_HALF(exp)
FUNCTION_OF_HALF(exp2)
FUNCTION_OF_HALF(log)
FUNCTION_OF_HALF(log2)
FUNCTION_OF_HALF(sqrt)
FUNCTION_OF_HALF(rsqrt)
FUNCTION_OF_HALF(tanh)
FUNCTION_OF_HALF(floor)
FUNCTION_OF_HALF(ceil)
#undef FUNCTION_OF_HALF
inline f16 min(f16 a, f16 b) { return f16(min(f32(a), f32(b))); }
inline f16 max(f16 a, f16 b) { return f16(max(f32(a), f32(b))); }
inline f16 fmod(f16 a, f16 b) { return f16(fmod(f32(a), f32(b))); }
// An f64 holds the sum well enough that rounding it a second time changes nothing.
inline f16 fma(f16 a, f16 b, f16 c) {
  const double sum = double(f32(a)) * double(f32(b)) + double(f32(c));
  // Rounded to odd on the way through f32: an inexact sum keeps its last bit set, so that it is never taken for a tie.
  f32 near = f32(sum);
  if (double(near) != sum && near - near == 0) {
    u32 bits = emulated::same_bits<u32>(near);
    if ((near < 0 ? -double(near) > -sum : double(near) > sum)) bits -= 1;
    near = emulated::same_bits<f32>(bits | 1);
  }
  return f16(near);
}

// Floats become integers toward zero and stay in range; what is no number becomes 0.
template <typename To, typename From> inline To convert(From from) {
  if constexpr (sizeof(From) == 2) return convert<To>(f32(from));
  else return To(from);
}
template <> inline i32 convert<i32, f32>(f32 from) {
  return from != from ? 0 : from >= 0x1p31f ? INT32_MAX : from < -0x1p31f ? INT32_MIN : i32(from);
}
template <> inline u32 convert<u32, f32>(f32 from) {
  return from >= 0x1p32f ? UINT32_MAX : from > 0 ? u32(from) : 0;
}

template <typename T> struct alignas(2 * sizeof(T)) vec2 {
  T x, y;
};
template <typename T> struct alignas(4 * sizeof(T)) vec4 {
  T x, y, z, w;
};

// Everything works component by component.
#define BINARY(sign) \
  template <typename T> inline vec2<T> operator sign(vec2<T> a, vec2<T> b) { \
    return {T(a.x sign b.x), T(a.y sign b.y)}; \
  } \
  template <typename T> inline vec4<T> operator sign(vec4<T> a, vec4<T> b) { \
    return {T(a.x sign b.x), T(a.y sign b.y), T(a.z sign b.z), T(a.w sign b.w)}; \
  }
BINARY(+)
BINARY(-)
BINARY(*)
BINARY(/)
BINARY(%)
BINARY(&)
BINARY(|)
BINARY(^)
#undef BINARY

#define SHIFT(sign) \
  template <typename T> inline vec2<T> operator sign(vec2<T> a, vec2<u32> b) { return {a.x sign b.x, a.y sign b.y}; } \
  template <typename T> inline vec4<T> operator sign(vec4<T> a, vec4<u32> b) { \
    return {a.x sign b.x, a.y sign b.y, a.z sign b.z, a.w sign b.w}; \
  }
SHIFT(<<)
SHIFT(>>)
#undef SHIFT

#define COMPARISON(sign) \
  template <typename T> inline vec2<bool> operator sign(vec2<T> a, vec2<T> b) { \
    return {a.x sign b.x, a.y sign b.y}; \
  } \
  template <typename T> inline vec4<bool> operator sign(vec4<T> a, vec4<T> b) { \
    return {a.x sign b.x, a.y sign b.y, a.z sign b.z, a.w sign b.w}; \
  }
COMPARISON(==)
COMPARISON(!=)
COMPARISON(<)
COMPARISON(<=)
COMPARISON(>)
COMPARISON(>=)
#undef COMPARISON

#define UPDATE(sign) \
  template <typename T> inline void operator sign##=(vec2<T>& a, vec2<T> b) { a = a sign b; } \
  template <typename T> inline void operator sign##=(vec4<T>& a, vec4<T> b) { a = a sign b; }
UPDATE(+)
UPDATE(-)
UPDATE(*)
UPDATE(/)
#undef UPDATE

#define PREFIX(sign) \
  template <typename T> inline vec2<T> operator sign(vec2<T> a) { return {T(sign a.x), T(sign a.y)}; } \
  template <typename T> inline vec4<T> operator sign(vec4<T> a) { \
    return {T(sign a.x), T(sign a.y), T(sign a.z), T(sign a.w)}; \
  }
PREFIX(-)
PREFIX(~)
PREFIX(!)
#undef PREFIX

#define UNARY(name) \
  template <typename T> inline vec2<T> name(vec2<T> a) { return {name(a.x), name(a.y)}; } \
  template <typename T> inline vec4<T> name(vec4<T> a) { return {name(a.x), name(a.y), name(a.z), name(a.w)}; }
UNARY(abs)
UNARY(exp)
UNARY(exp2)
UNARY(log)
UNARY(log2)
UNARY(sqrt)
UNARY(rsqrt)
UNARY(tanh)
UNARY(floor)
UNARY(ceil)
#undef UNARY

#define OF_TWO(name) \
  template <typename T> inline vec2<T> name(vec2<T> a, vec2<T> b) { return {name(a.x, b.x), name(a.y, b.y)}; } \
  template <typename T> inline vec4<T> name(vec4<T> a, vec4<T> b) { \
    return {name(a.x, b.x), name(a.y, b.y), name(a.z, b.z), name(a.w, b.w)}; \
  }
OF_TWO(min)
OF_TWO(max)
OF_TWO(fmod)
#undef OF_TWO

template <typename T> inline vec2<T> fma(vec2<T> a, vec2<T> b, vec2<T> c) {
  return {fma(a.x, b.x, c.x), fma(a.y, b.y, c.y)};
}
template <typename T> inline vec4<T> fma(vec4<T> a, vec4<T> b, vec4<T> c) {
  return {fma(a.x, b.x, c.x), fma(a.y, b.y, c.y), fma(a.z, b.z, c.z), fma(a.w, b.w, c.w)};
}
template <typename T> inline vec2<T> select(vec2<bool> condition, vec2<T> yes, vec2<T> no) {
  return {condition.x ? yes.x : no.x, condition.y ? yes.y : no.y};
}
template <typename T> inline vec4<T> select(vec4<bool> condition, vec4<T> yes, vec4<T> no) {
  return {condition.x ? yes.x : no.x, condition.y ? yes.y : no.y, condition.z ? yes.z : no.z,
          condition.w ? yes.w : no.w};
}
template <typename T> inline vec2<T> fill2(T value) { return {value, value}; }
template <typename T> inline vec4<T> fill4(T value) { return {value, value, value, value}; }
template <typename T> inline T dot(vec2<T> a, vec2<T> b) { return a.x * b.x + a.y * b.y; }
template <typename T> inline T dot(vec4<T> a, vec4<T> b) { return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w; }
template <typename To, typename T> inline vec2<To> convert(vec2<T> a) { return {convert<To>(a.x), convert<To>(a.y)}; }
template <typename To, typename T> inline vec4<To> convert(vec4<T> a) {
  return {convert<To>(a.x), convert<To>(a.y), convert<To>(a.z), convert<To>(a.w)};
}
template <typename T> inline T clamp(T value, T low, T high) { return min(max(value, low), high); }

template <typename To, typename From> inline To bitcast(From from) { return emulated::same_bits<To>(from); }

// Two halves in a word, the first in the low bits.
inline u32 pack_f16(vec2<f32> a) { return emulated::half_bits(a.x) | u32(emulated::half_bits(a.y)) << 16; }
inline u32 pack_bf16(vec2<f32> a) { return emulated::bfloat_bits(a.x) | u32(emulated::bfloat_bits(a.y)) << 16; }
inline vec2<f32> unpack_f16(u32 word) { return {emulated::half_value(word), emulated::half_value(word >> 16)}; }
inline vec2<f32> unpack_bf16(u32 word) { return {emulated::bfloat_value(word), emulated::bfloat_value(word >> 16)}; }
inline u32 add_f16(u32 a, u32 b) { return pack_f16(unpack_f16(a) + unpack_f16(b)); }
inline u32 add_bf16(u32 a, u32 b) { return pack_bf16(unpack_bf16(a) + unpack_bf16(b)); }
