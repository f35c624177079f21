// Bin search with AVX2: 8 lanes, on a straight line where edges are regular, else in two levels. float64 is
// searched in float32 first: see BinTable::coarse32.
#include <immintrin.h>

#include "evtok/bins.hpp"

namespace evtok {
namespace {

#define EVTOK_INSIDE inline __attribute__((always_inline))

// What happens to the codes after the search, in broadcast form.
struct Rest {
  __m256i first, last, origin, stride, n_edges;
  bool flag_outside, fresh;

  template <class T>
  EVTOK_INSIDE Rest(const BinTable<T>& t, bool fresh_)
      : first(_mm256_set1_epi32(t.first)), last(_mm256_set1_epi32(t.last)),
        origin(_mm256_set1_epi32(t.origin)), stride(_mm256_set1_epi32(t.stride)),
        n_edges(_mm256_set1_epi32(t.n_edges)), flag_outside(t.outside_unknown), fresh(fresh_) {}
};

// What becomes of values: codes alone (digitize), contributions with flags, or sums while there is nothing to
// flag.
enum class Mode { codes, flags, sums };

// Adds the contributions of 8 codes to the accumulator. `valid` has all bits of a lane set where the value is
// valid. Returns all bits of a lane set where Mode::sums found nothing to flag.
template <Mode kMode, bool kClamp>
EVTOK_INSIDE __m256i contribute(__m256i code, __m256i valid, const Rest& rest, int32_t* accumulator) {
  __m256i* place = reinterpret_cast<__m256i*>(accumulator);
  __m256i digit = code, clean = valid, flag = _mm256_setzero_si256();
  if (kClamp) {
    const __m256i clamped = _mm256_min_epi32(_mm256_max_epi32(code, rest.first), rest.last);
    digit = _mm256_sub_epi32(clamped, rest.origin);
    if (rest.flag_outside) {
      const __m256i inside = _mm256_cmpeq_epi32(clamped, code);
      flag = _mm256_andnot_si256(inside, _mm256_set1_epi32(kUnknown));
      clean = _mm256_and_si256(clean, inside);
    }
  }
  __m256i sum = _mm256_mullo_epi32(digit, rest.stride);
  if (kMode == Mode::sums) {
    if (!rest.fresh) sum = _mm256_add_epi32(sum, _mm256_loadu_si256(place));
  } else {
    const __m256i flags = _mm256_set1_epi32(kInvalid | kUnknown);
    if (kClamp) sum = _mm256_or_si256(sum, flag);
    if (kMode == Mode::flags) sum = _mm256_blendv_epi8(_mm256_set1_epi32(kInvalid), sum, valid);
    if (!rest.fresh) {
      const __m256i before = _mm256_loadu_si256(place);
      const __m256i both = _mm256_and_si256(_mm256_or_si256(before, sum), flags);
      sum = _mm256_or_si256(_mm256_andnot_si256(flags, _mm256_add_epi32(before, sum)), both);
    }
  }
  _mm256_storeu_si256(place, sum);
  return clean;
}

EVTOK_INSIDE bool all_set(__m256i x) {
  return _mm256_movemask_epi8(x) == -1;
}

// The rows after the last whole group of vectors; false when one of them has a flag.
template <class T>
EVTOK_INSIDE bool finish(const T* x, int64_t i, int64_t n, const BinTable<T>& t, bool fresh,
                         int32_t* accumulator) {
  bool clean = true;
  for (; i < n; ++i) clean &= sum_contribution(x[i], t, fresh, accumulator + i);
  return clean;
}

constexpr int kVectors =
    4;  // of 8 values each, in flight together: it hides the latency of permutations and sums

// The codes of 32 values by the search in two levels; of NaN, any. `kPassed` is the ordered comparison that
// holds where x has passed an edge.
template <int kPassed>
EVTOK_INSIDE void search(const __m256 (&value)[kVectors], const BinTable<float>& t,
                         __m256i (&code)[kVectors]) {
  __m256i bucket[kVectors];
  for (int v = 0; v < kVectors; ++v) bucket[v] = _mm256_setzero_si256();
  for (int b = 0; b < 7; ++b) {
    const __m256 edge = _mm256_broadcast_ss(t.coarse + b);
    for (int v = 0; v < kVectors; ++v)
      bucket[v] = _mm256_sub_epi32(bucket[v], _mm256_castps_si256(_mm256_cmp_ps(value[v], edge, kPassed)));
  }
  const __m256i width = _mm256_set1_epi32(t.n_fine + 1);
  for (int v = 0; v < kVectors; ++v) code[v] = _mm256_mullo_epi32(bucket[v], width);
  for (int f = 0; f < t.n_fine; ++f) {
    const __m256 edges = _mm256_loadu_ps(t.fine + 8 * f);
    for (int v = 0; v < kVectors; ++v) {
      const __m256 edge = _mm256_permutevar8x32_ps(edges, bucket[v]);
      code[v] = _mm256_sub_epi32(code[v], _mm256_castps_si256(_mm256_cmp_ps(value[v], edge, kPassed)));
    }
  }
}

// approximate_log2 of 32 values.
EVTOK_INSIDE void logarithms(const __m256 (&value)[kVectors], __m256 (&result)[kVectors]) {
  __m256 m[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    m[v] = _mm256_or_ps(_mm256_and_ps(value[v], _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFF))),
                        _mm256_set1_ps(1));
    result[v] = _mm256_set1_ps(kLog2Polynomial[0]);
  }
  for (int i = 1; i < 7; ++i) {
    const __m256 coefficient = _mm256_set1_ps(kLog2Polynomial[i]);
    for (int v = 0; v < kVectors; ++v) result[v] = _mm256_fmadd_ps(result[v], m[v], coefficient);
  }
  for (int v = 0; v < kVectors; ++v) {
    const __m256 bits = _mm256_cvtepi32_ps(_mm256_castps_si256(value[v]));
    result[v] = _mm256_fmadd_ps(bits, _mm256_set1_ps(0x1p-23F), result[v]);
  }
}

// The codes of 32 values on regular edges (bin_grid.hpp); false where an edge has to decide one of them.
template <Spacing kSpacing>
EVTOK_INSIDE bool place_on_grid(const __m256 (&value)[kVectors], const BinTable<float>& t,
                                __m256i (&code)[kVectors]) {
  const __m256 scale = _mm256_set1_ps(t.grid.scale), shift = _mm256_set1_ps(t.grid.shift);
  const __m256i remainder = _mm256_set1_epi32(kCell - 1), undecided = _mm256_set1_epi32(t.grid.undecided);
  const __m256i most = _mm256_set1_epi32(t.n_edges);
  __m256 line[kVectors];
  __m256i decided = _mm256_set1_epi32(-1);
  if (kSpacing == Spacing::logarithmic)
    logarithms(value, line);
  else
    for (int v = 0; v < kVectors; ++v) line[v] = value[v];
  for (int v = 0; v < kVectors; ++v) {
    const __m256i place = _mm256_cvtps_epi32(_mm256_fmadd_ps(line[v], scale, shift));
    decided = _mm256_and_si256(decided, _mm256_cmpgt_epi32(_mm256_and_si256(place, remainder), undecided));
    const __m256i cell = _mm256_srai_epi32(place, kCellBits);
    code[v] = _mm256_min_epi32(_mm256_max_epi32(cell, _mm256_setzero_si256()), most);
  }
  return all_set(decided);
}

template <int kPassed, Mode kMode, bool kClamp, Spacing kSpacing>
EVTOK_INSIDE bool search_f32(const float* x, int64_t n, const BinTable<float>& t, bool fresh,
                             int32_t* accumulator) {
  const Rest rest(t, fresh);
  const __m256 lowest = _mm256_set1_ps(t.lowest), highest = _mm256_set1_ps(t.highest);
  // On a uniform grid, what is not finite is never decided.
  const bool decided_is_valid =
      kSpacing == Spacing::uniform && t.lowest == -__FLT_MAX__ && t.highest == __FLT_MAX__;
  __m256i clean = _mm256_set1_epi32(-1);
  int64_t i = 0;
  for (; i + 8 * kVectors <= n; i += 8 * kVectors) {
    __m256 value[kVectors];
    __m256i code[kVectors];
    for (int v = 0; v < kVectors; ++v) value[v] = _mm256_loadu_ps(x + i + 8 * v);
    const bool decided = kSpacing != Spacing::irregular && place_on_grid<kSpacing>(value, t, code);
    if (kMode != Mode::codes && decided && decided_is_valid) {
      for (int v = 0; v < kVectors; ++v)
        clean = _mm256_and_si256(
            clean, contribute<kMode, kClamp>(code[v], _mm256_set1_epi32(-1), rest, accumulator + i + 8 * v));
      continue;
    }
    if (!decided) search<kPassed>(value, t, code);
    for (int v = 0; v < kVectors; ++v) {
      __m256i valid = code[v];
      if (kMode != Mode::codes)
        valid = _mm256_castps_si256(_mm256_and_ps(_mm256_cmp_ps(lowest, value[v], _CMP_LE_OQ),
                                                  _mm256_cmp_ps(value[v], highest, _CMP_LE_OQ)));
      else  // NaN passes every edge
        code[v] = _mm256_blendv_epi8(code[v], rest.n_edges,
                                     _mm256_castps_si256(_mm256_cmp_ps(value[v], value[v], _CMP_UNORD_Q)));
      clean =
          _mm256_and_si256(clean, contribute<kMode, kClamp>(code[v], valid, rest, accumulator + i + 8 * v));
    }
  }
  const bool rest_clean = finish(x, i, n, t, fresh, accumulator);
  return rest_clean && all_set(clean);
}

// Two results of 4 x 64 bits to one of 8 x 32 bits.
EVTOK_INSIDE __m256i narrow(__m256d low, __m256d high) {
  const __m256 packed = _mm256_shuffle_ps(_mm256_castpd_ps(low), _mm256_castpd_ps(high), 0x88);
  return _mm256_permute4x64_epi64(_mm256_castps_si256(packed), 0xD8);
}

// The codes of 8 float64 values by passing every edge: for values whose rounding to float32 is that of an
// edge.
template <int kPassed>
EVTOK_INSIDE __m256i pass_every_edge(__m256d low, __m256d high, const BinTable<double>& t) {
  __m256i low_count = _mm256_setzero_si256(), high_count = _mm256_setzero_si256();
  for (int32_t k = 0; k < t.n_edges; ++k) {
    const __m256d edge = _mm256_broadcast_sd(t.edges + k);
    low_count = _mm256_sub_epi64(low_count, _mm256_castpd_si256(_mm256_cmp_pd(low, edge, kPassed)));
    high_count = _mm256_sub_epi64(high_count, _mm256_castpd_si256(_mm256_cmp_pd(high, edge, kPassed)));
  }
  return narrow(_mm256_castsi256_pd(low_count), _mm256_castsi256_pd(high_count));
}

template <int kPassed, Mode kMode>
EVTOK_INSIDE bool search_f64(const double* x, int64_t n, const BinTable<double>& t, bool fresh,
                             int32_t* accumulator) {
  const Rest rest(t, fresh);
  const __m256i width = _mm256_set1_epi32(t.n_fine + 1);
  const __m256d lowest = _mm256_set1_pd(t.lowest), highest = _mm256_set1_pd(t.highest);
  __m256i clean = _mm256_set1_epi32(-1);
  int64_t i = 0;
  for (; i + 8 * kVectors <= n; i += 8 * kVectors) {
    __m256 value[kVectors], on_edge[kVectors];
    __m256i bucket[kVectors], code[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      const double* eight = x + i + 8 * v;
      value[v] = _mm256_set_m128(_mm256_cvtpd_ps(_mm256_loadu_pd(eight + 4)),
                                 _mm256_cvtpd_ps(_mm256_loadu_pd(eight)));
      bucket[v] = _mm256_setzero_si256();
      on_edge[v] = _mm256_setzero_ps();
    }
    for (int b = 0; b < 7; ++b) {
      const __m256 edge = _mm256_broadcast_ss(t.coarse32 + b);
      for (int v = 0; v < kVectors; ++v) {
        bucket[v] =
            _mm256_sub_epi32(bucket[v], _mm256_castps_si256(_mm256_cmp_ps(value[v], edge, _CMP_GE_OQ)));
        on_edge[v] = _mm256_or_ps(on_edge[v], _mm256_cmp_ps(value[v], edge, _CMP_EQ_OQ));
      }
    }
    for (int v = 0; v < kVectors; ++v) code[v] = _mm256_mullo_epi32(bucket[v], width);
    for (int f = 0; f < t.n_fine; ++f) {
      const __m256 edges = _mm256_loadu_ps(t.fine32 + 8 * f);
      for (int v = 0; v < kVectors; ++v) {
        const __m256 edge = _mm256_permutevar8x32_ps(edges, bucket[v]);
        code[v] = _mm256_sub_epi32(code[v], _mm256_castps_si256(_mm256_cmp_ps(value[v], edge, _CMP_GE_OQ)));
        on_edge[v] = _mm256_or_ps(on_edge[v], _mm256_cmp_ps(value[v], edge, _CMP_EQ_OQ));
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      const __m256d low = _mm256_loadu_pd(x + i + 8 * v), high = _mm256_loadu_pd(x + i + 8 * v + 4);
      if (_mm256_movemask_ps(on_edge[v]) != 0) code[v] = pass_every_edge<kPassed>(low, high, t);
      __m256i valid = code[v];
      if (kMode != Mode::codes)
        valid = narrow(
            _mm256_and_pd(_mm256_cmp_pd(lowest, low, _CMP_LE_OQ), _mm256_cmp_pd(low, highest, _CMP_LE_OQ)),
            _mm256_and_pd(_mm256_cmp_pd(lowest, high, _CMP_LE_OQ), _mm256_cmp_pd(high, highest, _CMP_LE_OQ)));
      else  // NaN passes every edge
        code[v] = _mm256_blendv_epi8(
            code[v], rest.n_edges,
            narrow(_mm256_cmp_pd(low, low, _CMP_UNORD_Q), _mm256_cmp_pd(high, high, _CMP_UNORD_Q)));
      clean = _mm256_and_si256(clean, contribute<kMode, true>(code[v], valid, rest, accumulator + i + 8 * v));
    }
  }
  const bool rest_clean = finish(x, i, n, t, fresh, accumulator);
  return rest_clean && all_set(clean);
}

template <class T> EVTOK_INSIDE bool clamps(const BinTable<T>& t) {
  return t.first > 0 || t.last < t.n_edges || t.origin != 0;
}

template <int kPassed, Mode kMode, bool kClamp>
EVTOK_INSIDE bool choose_spacing(const float* x, int64_t n, const BinTable<float>& t, bool fresh,
                                 int32_t* accumulator) {
  switch (t.grid.spacing) {
  case Spacing::uniform:
    return search_f32<kPassed, kMode, kClamp, Spacing::uniform>(x, n, t, fresh, accumulator);
  case Spacing::logarithmic:
    return search_f32<kPassed, kMode, kClamp, Spacing::logarithmic>(x, n, t, fresh, accumulator);
  case Spacing::irregular:
    break;
  }
  return search_f32<kPassed, kMode, kClamp, Spacing::irregular>(x, n, t, fresh, accumulator);
}

template <Mode kMode>
EVTOK_INSIDE bool choose(const float* x, int64_t n, const BinTable<float>& t, bool fresh,
                         int32_t* accumulator) {
  if (t.lanes == 0) return finish(x, 0, n, t, fresh, accumulator);  // too many edges for the vector layout
  if (t.right) {
    if (clamps(t)) return choose_spacing<_CMP_GT_OQ, kMode, true>(x, n, t, fresh, accumulator);
    return choose_spacing<_CMP_GT_OQ, kMode, false>(x, n, t, fresh, accumulator);
  }
  if (clamps(t)) return choose_spacing<_CMP_GE_OQ, kMode, true>(x, n, t, fresh, accumulator);
  return choose_spacing<_CMP_GE_OQ, kMode, false>(x, n, t, fresh, accumulator);
}

template <Mode kMode>
EVTOK_INSIDE bool choose(const double* x, int64_t n, const BinTable<double>& t, bool fresh,
                         int32_t* accumulator) {
  if (t.lanes == 0) return finish(x, 0, n, t, fresh, accumulator);
  if (t.right) return search_f64<_CMP_GT_OQ, kMode>(x, n, t, fresh, accumulator);
  return search_f64<_CMP_GE_OQ, kMode>(x, n, t, fresh, accumulator);
}

template <class T>
EVTOK_INSIDE void accumulate(const T* x, int64_t n, const BinTable<T>& t, bool fresh, int32_t* accumulator) {
  if (t.check)
    choose<Mode::flags>(x, n, t, fresh, accumulator);
  else
    choose<Mode::codes>(x, n, t, fresh, accumulator);
}

template <class T>
EVTOK_INSIDE bool sum(const T* x, int64_t n, const BinTable<T>& t, bool fresh, int32_t* accumulator) {
  if (t.check) return choose<Mode::sums>(x, n, t, fresh, accumulator);
  accumulate(x, n, t, fresh, accumulator);
  if (!t.outside_unknown) return true;
  int32_t all = 0;  // without the check, only values outside are flagged
  for (int64_t i = 0; i < n; ++i) all |= accumulator[i];
  return (all & kUnknown) == 0;
}

}  // namespace

void accumulate_bins_f32_avx2(const float* x, int64_t n, const BinTable<float>& t, bool fresh,
                              int32_t* accumulator) {
  accumulate(x, n, t, fresh, accumulator);
}
void accumulate_bins_f64_avx2(const double* x, int64_t n, const BinTable<double>& t, bool fresh,
                              int32_t* accumulator) {
  accumulate(x, n, t, fresh, accumulator);
}
bool sum_bins_f32_avx2(const float* x, int64_t n, const BinTable<float>& t, bool fresh,
                       int32_t* accumulator) {
  return sum(x, n, t, fresh, accumulator);
}
bool sum_bins_f64_avx2(const double* x, int64_t n, const BinTable<double>& t, bool fresh,
                       int32_t* accumulator) {
  return sum(x, n, t, fresh, accumulator);
}

}  // namespace evtok
