// The 16-bit floats. Arithmetic is that of f32, rounded once more to nearest even: for sums, products, quotients and square roots of
// so short numbers that gives the correctly rounded result.
#pragma once
#include <cmath>
#include <cstring>

namespace emulated {

template <typename To, typename From> inline To same_bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "the bits of a value of another size");
  To to;
  std::memcpy(&to, &from, sizeof(To));
  return to;
}

inline std::uint16_t half_bits(f32 value) {
  const u32 bits = same_bits<u32>(value);
  const u32 sign = bits >> 16 & 0x8000;
  const u32 size = bits & 0x7fffffff;
  if (size > 0x7f800000) return 0x7fff;
  // From 65520 on, halfway to the first power of two that f16 lacks, everything is infinite.
  if (size >= 0x477ff000) return sign | 0x7c00;
  // Below 2^-14 f16 counts steps of 2^-24, which is what an f32 of 0.5 and more counts in its last bit: adding rounds.
  if (size < 0x38800000) return sign | (same_bits<u32>(same_bits<f32>(size) + 0.5f) - 0x3f000000);
  const u32 last = size >> 13 & 1;
  return sign | ((size - 0x38000000 + 0xfff + last) >> 13);
}

inline f32 half_value(std::uint16_t half) {
  const u32 sign = u32(half & 0x8000) << 16;
  const u32 size = u32(half & 0x7fff) << 13;
  if (size >= 0x0f800000) return same_bits<f32>(sign | 0x7f800000 | (size & 0x007fffff));
  // The exponents' biases differ by 112. The product is exact for subnormal numbers too.
  return same_bits<f32>(sign | same_bits<u32>(same_bits<f32>(size) * 0x1p112f));
}

/** bf16 is the upper half of an f32. */
inline std::uint16_t bfloat_bits(f32 value) {
  const u32 bits = same_bits<u32>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

inline f32 bfloat_value(std::uint16_t bits) { return same_bits<f32>(u32(bits) << 16); }

template <std::uint16_t encode(f32), f32 decode(std::uint16_t)> struct Half {
  std::uint16_t bits;

  Half() = default;
  explicit Half(f32 value) : bits(encode(value)) {}
  explicit Half(double value) : bits(encode(f32(value))) {}
  explicit Half(i32 value) : bits(encode(f32(value))) {}
  explicit Half(u32 value) : bits(encode(f32(value))) {}
  /** From the other 16-bit type, through f32. */
  template <std::uint16_t other_encode(f32), f32 other_decode(std::uint16_t)>
  explicit Half(Half<other_encode, other_decode> value) : bits(encode(f32(value))) {}

  explicit operator f32() const { return decode(bits); }
  explicit operator i32() const { return i32(decode(bits)); }
  explicit operator u32() const { return u32(decode(bits)); }

  friend Half operator+(Half a, Half b) { return Half(f32(a) + f32(b)); }
  friend Half operator-(Half a, Half b) { return Half(f32(a) - f32(b)); }
  friend Half operator*(Half a, Half b) { return Half(f32(a) * f32(b)); }
  friend Half operator/(Half a, Half b) { return Half(f32(a) / f32(b)); }
  friend Half operator-(Half a) {
    a.bits ^= 0x8000;
    return a;
  }
  friend Half& operator+=(Half& a, Half b) { return a = a + b; }
  friend Half& operator-=(Half& a, Half b) { return a = a - b; }
  friend Half& operator*=(Half& a, Half b) { return a = a * b; }
  friend Half& operator/=(Half& a, Half b) { return a = a / b; }
  friend bool operator==(Half a, Half b) { return f32(a) == f32(b); }
  friend bool operator!=(Half a, Half b) { return f32(a) != f32(b); }
  friend bool operator<(Half a, Half b) { return f32(a) < f32(b); }
  friend bool operator<=(Half a, Half b) { return f32(a) <= f32(b); }
  friend bool operator>(Half a, Half b) { return f32(a) > f32(b); }
  friend bool operator>=(Half a, Half b) { return f32(a) >= f32(b); }
};

}  // namespace emulated

using f16 = emulated::Half<emulated::half_bits, emulated::half_value>;
using bf16 = emulated::Half<emulated::bfloat_bits, emulated::bfloat_value>;
static_assert(sizeof(f16) == 2 && sizeof(bf16) == 2, "halves fill two bytes");
