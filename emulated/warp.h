// What the lanes of a warp do together. Every operation waits for all 32 lanes, then computes the results of all of them at once.
#pragma once

namespace emulated {

/** Lets the lanes meet: `Operation` says what each brings and takes, and how the warp computes one from the other. */
template <typename Operation>
typename Operation::Taken meet(const char* what, int line, const typename Operation::Brought& brings) {
  typename Operation::Taken takes;
  const Join join = [](const void* const* brought, void* const* taken) {
    Operation::join(reinterpret_cast<const typename Operation::Brought* const*>(brought),
                    reinterpret_cast<typename Operation::Taken* const*>(taken));
  };
  meet_warp(what, line, join, &brings, &takes);
  return takes;
}

template <typename T> struct Shuffle {
  struct Brought {
    T value;
    u32 lane;
  };
  using Taken = T;
  static void join(const Brought* const* brought, Taken* const* taken) {
    for (u32 lane = 0; lane < warp_lanes; lane++) *taken[lane] = brought[brought[lane]->lane]->value;
  }
};

template <typename T> T shuffle(const char* what, int line, T value, u32 lane) {
  if (lane >= warp_lanes) fault_lane(what, line, lane);
  return meet<Shuffle<T>>(what, line, {value, lane});
}

/** Combines neighbours, then pairs, and so on, in the order in which the device's shuffles do. */
template <typename T, T combine(T, T)> struct Reduction {
  using Brought = T;
  using Taken = T;
  static void join(const Brought* const* brought, Taken* const* taken) {
    T values[warp_lanes];
    for (u32 lane = 0; lane < warp_lanes; lane++) values[lane] = *brought[lane];
    for (u32 mask = 1; mask < warp_lanes; mask *= 2) {
      T next[warp_lanes];
      for (u32 lane = 0; lane < warp_lanes; lane++) next[lane] = combine(values[lane], values[lane ^ mask]);
      for (u32 lane = 0; lane < warp_lanes; lane++) values[lane] = next[lane];
    }
    for (u32 lane = 0; lane < warp_lanes; lane++) *taken[lane] = values[lane];
  }
};

template <typename T> T sum_of(T a, T b) { return a + b; }
template <typename T> T more_of(T a, T b) { return max(a, b); }
template <typename T> T less_of(T a, T b) { return min(a, b); }

inline f32 value_of_half(f16, u32 bits) { return half_value(bits); }
inline f32 value_of_half(bf16, u32 bits) { return bfloat_value(bits); }

/**
 * The product of m16n8k16: A is 16 x 16 and B is 16 x 8 in halves, C and D are 16 x 8 in f32.
 *
 * With group = lane / 4 and pair = lane % 4, as the PTX manual has it: A's four registers hold two halves each of rows group and
 * group + 8 at columns 2 pair and 2 pair + 1, then the same rows eight columns further; B's two hold rows 2 pair and 2 pair + 1 of
 * column group, then eight rows further; C's four floats are row group, columns 2 pair and 2 pair + 1, then row group + 8.
 */
template <typename Half> struct Product {
  struct Brought {
    vec4<u32> a;
    vec2<u32> b;
    vec4<f32> c;
  };
  using Taken = vec4<f32>;

  static void join(const Brought* const* brought, Taken* const* taken) {
    f32 a[16][16], b[16][8];
    for (u32 lane = 0; lane < warp_lanes; lane++) {
      const u32 group = lane / 4, column = lane % 4 * 2;
      const Brought& from = *brought[lane];
      unpack(from.a.x, a[group][column], a[group][column + 1]);
      unpack(from.a.y, a[group + 8][column], a[group + 8][column + 1]);
      unpack(from.a.z, a[group][column + 8], a[group][column + 9]);
      unpack(from.a.w, a[group + 8][column + 8], a[group + 8][column + 9]);
      unpack(from.b.x, b[column][group], b[column + 1][group]);
      unpack(from.b.y, b[column + 8][group], b[column + 9][group]);
    }
    for (u32 lane = 0; lane < warp_lanes; lane++) {
      const u32 group = lane / 4, column = lane % 4 * 2;
      const vec4<f32> c = brought[lane]->c;
      *taken[lane] = {sum(a[group], b, column, c.x), sum(a[group], b, column + 1, c.y),
                      sum(a[group + 8], b, column, c.z), sum(a[group + 8], b, column + 1, c.w)};
    }
  }

 private:
  static void unpack(u32 word, f32& low, f32& high) {
    low = value_of_half(Half(), word & 0xffff);
    high = value_of_half(Half(), word >> 16);
  }
  /** Summed in f64 and rounded once, which is at least as good as a matrix unit. */
  static f32 sum(const f32 (&row)[16], const f32 (&b)[16][8], u32 column, f32 start) {
    double total = start;
    for (u32 k = 0; k < 16; k++) total += double(row[k]) * double(b[k][column]);
    return f32(total);
  }
};

inline u32& component(vec2<u32>& words, u32 index) { return index == 0 ? words.x : words.y; }
inline u32& component(vec4<u32>& words, u32 index) {
  return index == 0 ? words.x : index == 1 ? words.y : index == 2 ? words.z : words.w;
}

/**
 * 8 x 8 matrices of halves, one for each component of `Words`: lane l brings row l % 8 of matrix l / 8 and takes, of each matrix,
 * the halves 2 (l % 4) and 2 (l % 4) + 1 of row l / 4; of column l / 4 where the matrices are transposed.
 */
template <typename Words, bool transposed> struct MatrixLoad {
  using Brought = vec4<u32>;
  using Taken = Words;
  static void join(const Brought* const* brought, Taken* const* taken) {
    for (u32 lane = 0; lane < warp_lanes; lane++) {
      const u32 across = lane / 4, along = lane % 4 * 2;
      for (u32 matrix = 0; matrix < sizeof(Words) / sizeof(u32); matrix++) {
        const Brought* const* rows = brought + matrix * 8;
        const u32 low = transposed ? half(*rows[along], across) : half(*rows[across], along);
        const u32 high = transposed ? half(*rows[along + 1], across) : half(*rows[across], along + 1);
        component(*taken[lane], matrix) = low | high << 16;
      }
    }
  }

 private:
  static u32 half(vec4<u32> row, u32 index) { return component(row, index / 2) >> (index % 2 * 16) & 0xffff; }
};

template <typename Words, bool transposed>
Words load_matrices(const char* what, const SharedArray<vec4<u32>>& rows, Place row) {
  // Lanes beyond the last matrix are not asked.
  const bool asked = running.thread % warp_lanes < sizeof(Words) / sizeof(u32) * 8;
  return meet<MatrixLoad<Words, transposed>>(what, row.line, asked ? rows.load_for_warp(row) : vec4<u32>{});
}

}  // namespace emulated

template <typename T> inline T subgroup_shuffle_xor(T value, u32 mask, int line = __builtin_LINE()) {
  return emulated::shuffle("subgroup_shuffle_xor", line, value, emulated::running.thread % emulated::warp_lanes ^ mask);
}
template <typename T> inline T subgroup_broadcast(T value, u32 lane, int line = __builtin_LINE()) {
  return emulated::shuffle("subgroup_broadcast", line, value, lane);
}
template <typename T> inline T subgroup_add(T value, int line = __builtin_LINE()) {
  return emulated::meet<emulated::Reduction<T, emulated::sum_of<T>>>("subgroup_add", line, value);
}
template <typename T> inline T subgroup_max(T value, int line = __builtin_LINE()) {
  return emulated::meet<emulated::Reduction<T, emulated::more_of<T>>>("subgroup_max", line, value);
}
template <typename T> inline T subgroup_min(T value, int line = __builtin_LINE()) {
  return emulated::meet<emulated::Reduction<T, emulated::less_of<T>>>("subgroup_min", line, value);
}

template <typename Half>
inline vec4<f32> mma_m16n8k16(vec4<u32> a, vec2<u32> b, vec4<f32> c, int line = __builtin_LINE()) {
  return emulated::meet<emulated::Product<Half>>("mma_m16n8k16", line, {a, b, c});
}
template <typename Words>
inline Words matrix_load(const emulated::SharedArray<vec4<u32>>& rows, emulated::Place row) {
  return emulated::load_matrices<Words, false>("matrix_load", rows, row);
}
template <typename Words>
inline Words matrix_load_transposed(const emulated::SharedArray<vec4<u32>>& rows, emulated::Place row) {
  return emulated::load_matrices<Words, true>("matrix_load_transposed", rows, row);
}
