// Bin search with AVX2: 8 float32 lanes in two levels, 4 float64 lanes by counting edges.
#include <immintrin.h>

#include "evtok/bins.hpp"

namespace evtok {
namespace {

constexpr int kOrdered = _CMP_LE_OQ;

// Adds `code` (before clamping) of 8 values to the accumulator, with flags; `valid` has all bits set where x is valid.
inline __attribute__((always_inline)) void store_contribution(__m256i code, __m256i valid, __m256i first,
                                                              __m256i last, __m256i origin, __m256i stride, bool flag_outside,
                                                              bool fresh, int32_t* accumulator) {
  const __m256i flags = _mm256_set1_epi32(static_cast<int>(0xC0000000u));
  __m256i flag = _mm256_andnot_si256(valid, _mm256_set1_epi32(kInvalid));
  const __m256i clamped = _mm256_min_epi32(_mm256_max_epi32(code, first), last);
  if (flag_outside) {
    const __m256i inside = _mm256_cmpeq_epi32(clamped, code);
    flag = _mm256_or_si256(flag, _mm256_andnot_si256(inside, _mm256_set1_epi32(kUnknown)));
  }
  __m256i sum = _mm256_mullo_epi32(_mm256_sub_epi32(clamped, origin), stride);
  __m256i* place = reinterpret_cast<__m256i*>(accumulator);
  if (!fresh) {
    const __m256i before = _mm256_loadu_si256(place);
    flag = _mm256_or_si256(flag, _mm256_and_si256(before, flags));
    sum = _mm256_add_epi32(sum, _mm256_andnot_si256(flags, before));
  }
  _mm256_storeu_si256(place, _mm256_or_si256(sum, flag));
}

// `kPassed` is the comparison that holds where x has passed an edge, and holds for NaN.
template <int kPassed>
inline __attribute__((always_inline)) void search_f32(const float* x, int64_t n, const BinTable<float>& t,
                                                      bool fresh, int32_t* accumulator) {
  constexpr int kVectors = 4;  // rows in flight, to hide the latency of the permutations
  const __m256i first = _mm256_set1_epi32(t.first), last = _mm256_set1_epi32(t.last), origin = _mm256_set1_epi32(t.origin);
  const __m256i stride = _mm256_set1_epi32(t.stride), n_edges = _mm256_set1_epi32(t.n_edges);
  const __m256i width = _mm256_set1_epi32(t.n_fine + 1);
  const __m256 lowest = _mm256_set1_ps(t.lowest), highest = _mm256_set1_ps(t.highest);
  const __m256i all = _mm256_set1_epi32(-1);
  const bool check = t.check, flag_outside = t.outside_unknown;
  int64_t i = 0;
  for (; i + 8 * kVectors <= n; i += 8 * kVectors) {
    __m256 value[kVectors];
    __m256i bucket[kVectors], code[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      value[v] = _mm256_loadu_ps(x + i + 8 * v);
      bucket[v] = _mm256_setzero_si256();
    }
    for (int b = 0; b < 7; ++b) {
      const __m256 edge = _mm256_broadcast_ss(t.coarse + b);
      for (int v = 0; v < kVectors; ++v)
        bucket[v] = _mm256_sub_epi32(bucket[v], _mm256_castps_si256(_mm256_cmp_ps(value[v], edge, kPassed)));
    }
    for (int v = 0; v < kVectors; ++v) code[v] = _mm256_mullo_epi32(bucket[v], width);
    for (int f = 0; f < t.n_fine; ++f) {
      const __m256 edges = _mm256_loadu_ps(t.fine + 8 * f);
      for (int v = 0; v < kVectors; ++v) {
        const __m256 edge = _mm256_permutevar8x32_ps(edges, bucket[v]);
        code[v] = _mm256_sub_epi32(code[v], _mm256_castps_si256(_mm256_cmp_ps(value[v], edge, kPassed)));
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      __m256i valid = all;
      if (check)
        valid = _mm256_castps_si256(_mm256_and_ps(_mm256_cmp_ps(lowest, value[v], kOrdered),
                                                  _mm256_cmp_ps(value[v], highest, kOrdered)));
      store_contribution(_mm256_min_epi32(code[v], n_edges), valid, first, last, origin, stride, flag_outside, fresh,
                         accumulator + i + 8 * v);
    }
  }
  for (; i < n; ++i) {
    const int32_t contribution = bin_contribution(x[i], t);
    accumulator[i] = fresh ? contribution : add_contribution(accumulator[i], contribution);
  }
}

// float64 has no permutation by a variable index here, so every edge is passed; above kCountAtMost edges the
// logarithmic search is faster.
constexpr int32_t kCountAtMost = 96;

inline __attribute__((always_inline)) __m256i narrow(__m256d low, __m256d high) {
  // Two comparison results of 4 x 64 bits to one of 8 x 32 bits.
  const __m256 packed = _mm256_shuffle_ps(_mm256_castpd_ps(low), _mm256_castpd_ps(high), 0x88);
  return _mm256_permute4x64_epi64(_mm256_castps_si256(packed), 0xD8);
}

template <int kPassed>
inline __attribute__((always_inline)) void search_f64(const double* x, int64_t n, const BinTable<double>& t,
                                                      bool fresh, int32_t* accumulator) {
  const __m256i first = _mm256_set1_epi32(t.first), last = _mm256_set1_epi32(t.last), origin = _mm256_set1_epi32(t.origin);
  const __m256i stride = _mm256_set1_epi32(t.stride);
  const __m256d lowest = _mm256_set1_pd(t.lowest), highest = _mm256_set1_pd(t.highest);
  const bool check = t.check, flag_outside = t.outside_unknown;
  int64_t i = 0;
  for (; t.n_edges <= kCountAtMost && i + 16 <= n; i += 16) {
    __m256d value[4];
    __m256i count[4];
    for (int v = 0; v < 4; ++v) {
      value[v] = _mm256_loadu_pd(x + i + 4 * v);
      count[v] = _mm256_setzero_si256();
    }
    for (int32_t k = 0; k < t.n_edges; ++k) {
      const __m256d edge = _mm256_broadcast_sd(t.edges + k);
      for (int v = 0; v < 4; ++v)
        count[v] = _mm256_sub_epi64(count[v], _mm256_castpd_si256(_mm256_cmp_pd(value[v], edge, kPassed)));
    }
    for (int v = 0; v < 4; v += 2) {
      const __m256i code = narrow(_mm256_castsi256_pd(count[v]), _mm256_castsi256_pd(count[v + 1]));
      __m256i valid = _mm256_set1_epi32(-1);
      if (check) {
        __m256d ok[2];
        for (int h = 0; h < 2; ++h)
          ok[h] = _mm256_and_pd(_mm256_cmp_pd(lowest, value[v + h], kOrdered),
                                _mm256_cmp_pd(value[v + h], highest, kOrdered));
        valid = narrow(ok[0], ok[1]);
      }
      store_contribution(code, valid, first, last, origin, stride, flag_outside, fresh, accumulator + i + 4 * v);
    }
  }
  for (; i < n; ++i) {
    const int32_t contribution = bin_contribution(x[i], t);
    accumulator[i] = fresh ? contribution : add_contribution(accumulator[i], contribution);
  }
}

// Too many edges for the vector layout.
template <class T>
inline void search_by_halving(const T* x, int64_t n, const BinTable<T>& t, bool fresh, int32_t* accumulator) {
  for (int64_t i = 0; i < n; ++i) {
    const int32_t contribution = bin_contribution(x[i], t);
    accumulator[i] = fresh ? contribution : add_contribution(accumulator[i], contribution);
  }
}

}  // namespace

void accumulate_bins_f32_avx2(const float* x, int64_t n, const BinTable<float>& t, bool fresh,
                              int32_t* accumulator) {
  if (t.lanes != 8)
    search_by_halving(x, n, t, fresh, accumulator);
  else if (t.right)
    search_f32<_CMP_NLE_UQ>(x, n, t, fresh, accumulator);
  else
    search_f32<_CMP_NLT_UQ>(x, n, t, fresh, accumulator);
}

void accumulate_bins_f64_avx2(const double* x, int64_t n, const BinTable<double>& t, bool fresh,
                              int32_t* accumulator) {
  if (t.right)
    search_f64<_CMP_NLE_UQ>(x, n, t, fresh, accumulator);
  else
    search_f64<_CMP_NLT_UQ>(x, n, t, fresh, accumulator);
}

}  // namespace evtok
