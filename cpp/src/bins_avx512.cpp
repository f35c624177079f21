// Bin search with AVX-512: 16 float32 or 8 float64 lanes in two levels, the first one by halving.
#include <immintrin.h>

#include "evtok/bins.hpp"

namespace evtok {
namespace {

#define EVTOK_INSIDE inline __attribute__((always_inline))

// The two element types differ only in these words. `Codes` holds one int32 for each value.
struct F32 {
  using Value = float;
  using Vector = __m512;
  using Index = __m512i;
  using Mask = __mmask16;
  static constexpr int lanes = 16, first_step = 8;
  static EVTOK_INSIDE Vector load(const float* p) { return _mm512_loadu_ps(p); }
  static EVTOK_INSIDE Vector all(float x) { return _mm512_set1_ps(x); }
  static EVTOK_INSIDE Vector pick(Index i, Vector table) { return _mm512_permutexvar_ps(i, table); }
  template <int kCompare> static EVTOK_INSIDE Mask compare(Vector a, Vector b) {
    return _mm512_cmp_ps_mask(a, b, kCompare);
  }
  static EVTOK_INSIDE Index zero() { return _mm512_setzero_si512(); }
  static EVTOK_INSIDE Index add_where(Index a, Mask m, int step) {
    return _mm512_mask_add_epi32(a, m, a, _mm512_set1_epi32(step));
  }
  static EVTOK_INSIDE Index choose(Index a, Mask m, int b) {
    return _mm512_mask_mov_epi32(a, m, _mm512_set1_epi32(b));
  }
  static EVTOK_INSIDE Index times(Index a, int factor) {
    return _mm512_mullo_epi32(a, _mm512_set1_epi32(factor));
  }
};

struct F64 {
  using Value = double;
  using Vector = __m512d;
  using Index = __m512i;
  using Mask = __mmask8;
  static constexpr int lanes = 8, first_step = 4;
  static EVTOK_INSIDE Vector load(const double* p) { return _mm512_loadu_pd(p); }
  static EVTOK_INSIDE Vector all(double x) { return _mm512_set1_pd(x); }
  static EVTOK_INSIDE Vector pick(Index i, Vector table) { return _mm512_permutexvar_pd(i, table); }
  template <int kCompare> static EVTOK_INSIDE Mask compare(Vector a, Vector b) {
    return _mm512_cmp_pd_mask(a, b, kCompare);
  }
  static EVTOK_INSIDE Index zero() { return _mm512_setzero_si512(); }
  static EVTOK_INSIDE Index add_where(Index a, Mask m, int step) {
    return _mm512_mask_add_epi64(a, m, a, _mm512_set1_epi64(step));
  }
  static EVTOK_INSIDE Index choose(Index a, Mask m, int b) {
    return _mm512_mask_mov_epi64(a, m, _mm512_set1_epi64(b));
  }
  static EVTOK_INSIDE Index times(Index a, int factor) {
    return _mm512_mul_epu32(a, _mm512_set1_epi64(factor));  // both are small and not negative
  }
};

// What becomes of values: codes alone (digitize), contributions with flags, or sums while there is nothing to
// flag.
enum class Mode { codes, flags, sums };

// What happens to the codes after the search, in broadcast form.
struct Rest {
  __m512i first, last, origin, stride;
  bool flag_outside, fresh;

  template <class T>
  EVTOK_INSIDE Rest(const BinTable<T>& t, bool fresh_)
      : first(_mm512_set1_epi32(t.first)), last(_mm512_set1_epi32(t.last)),
        origin(_mm512_set1_epi32(t.origin)), stride(_mm512_set1_epi32(t.stride)),
        flag_outside(t.outside_unknown), fresh(fresh_) {}
};

// Adds the contributions of 16 codes to the accumulator; `valid` says where the value is valid. Returns where
// Mode::sums found nothing to flag.
template <Mode kMode>
EVTOK_INSIDE __mmask16 contribute(__m512i code, __mmask16 valid, const Rest& rest, int32_t* accumulator) {
  const __m512i clamped = _mm512_min_epi32(_mm512_max_epi32(code, rest.first), rest.last);
  const __mmask16 inside =
      rest.flag_outside ? _mm512_cmpeq_epi32_mask(clamped, code) : static_cast<__mmask16>(-1);
  __m512i sum = _mm512_mullo_epi32(_mm512_sub_epi32(clamped, rest.origin), rest.stride);
  if (kMode == Mode::sums) {
    if (!rest.fresh) sum = _mm512_add_epi32(sum, _mm512_loadu_si512(accumulator));
  } else {
    const __m512i flags = _mm512_set1_epi32(kInvalid | kUnknown);
    sum = _mm512_mask_or_epi32(sum, static_cast<__mmask16>(~inside), sum, _mm512_set1_epi32(kUnknown));
    sum = _mm512_mask_mov_epi32(_mm512_set1_epi32(kInvalid), valid, sum);
    if (!rest.fresh) {
      const __m512i before = _mm512_loadu_si512(accumulator);
      const __m512i both = _mm512_and_si512(_mm512_or_si512(before, sum), flags);
      sum = _mm512_or_si512(_mm512_andnot_si512(flags, _mm512_add_epi32(before, sum)), both);
    }
  }
  _mm512_storeu_si512(accumulator, sum);
  return static_cast<__mmask16>(valid & inside);
}

EVTOK_INSIDE __m512i join(const __m512i* codes, F32) {
  return codes[0];
}
EVTOK_INSIDE __m512i join(const __m512i* codes, F64) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi64_epi32(codes[0])),
                            _mm512_cvtepi64_epi32(codes[1]), 1);
}
EVTOK_INSIDE __mmask16 join(const __mmask16* masks, F32) {
  return masks[0];
}
EVTOK_INSIDE __mmask16 join(const __mmask8* masks, F64) {
  return static_cast<__mmask16>(masks[0] | (masks[1] << 8));
}

// The rows after the last whole group of vectors; false when one of them has a flag.
template <class T>
EVTOK_INSIDE bool finish(const T* x, int64_t i, int64_t n, const BinTable<T>& t, bool fresh,
                         int32_t* accumulator) {
  bool clean = true;
  for (; i < n; ++i) clean &= sum_contribution(x[i], t, fresh, accumulator + i);
  return clean;
}

// `kPassed` is the ordered comparison that holds where x has passed an edge.
template <class S, int kPassed, Mode kMode>
EVTOK_INSIDE bool search(const typename S::Value* x, int64_t n, const BinTable<typename S::Value>& t,
                         bool fresh, int32_t* accumulator) {
  constexpr int kLanes = S::lanes, kSteps = kLanes == 16 ? 4 : 3;
  constexpr int kJoined = 16 / kLanes;  // vectors that make 16 codes
  constexpr int kVectors = 4;           // vectors in flight, to hide the latency of the permutations
  constexpr int kRows = kVectors * kLanes;

  // Halving over the kLanes - 1 coarse edges: step s asks edge[index + half - 1], so its table is shifted by
  // that.
  typename S::Vector step_table[kSteps];
  for (int s = 0, half = S::first_step; s < kSteps; ++s, half /= 2) {
    typename S::Value shifted[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) {
      const int k = lane + half - 1;
      shifted[lane] = t.coarse[k < kLanes - 1 ? k : kLanes - 2];
    }
    step_table[s] = S::load(shifted);
  }
  const Rest rest(t, fresh);
  const typename S::Vector lowest = S::all(t.lowest), highest = S::all(t.highest);
  __mmask16 clean = static_cast<__mmask16>(-1);

  int64_t i = 0;
  for (; i + kRows <= n; i += kRows) {
    typename S::Vector value[kVectors];
    typename S::Index bucket[kVectors], code[kVectors];
    typename S::Mask valid[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      value[v] = S::load(x + i + kLanes * v);
      bucket[v] = S::zero();
    }
    for (int s = 0, half = S::first_step; s < kSteps; ++s, half /= 2)
      for (int v = 0; v < kVectors; ++v) {
        const typename S::Vector edge = S::pick(bucket[v], step_table[s]);
        bucket[v] = S::add_where(bucket[v], S::template compare<kPassed>(value[v], edge), half);
      }
    for (int v = 0; v < kVectors; ++v) code[v] = S::times(bucket[v], t.n_fine + 1);
    for (int f = 0; f < t.n_fine; ++f) {
      const typename S::Vector edges = S::load(t.fine + kLanes * f);
      for (int v = 0; v < kVectors; ++v) {
        const typename S::Vector edge = S::pick(bucket[v], edges);
        code[v] = S::add_where(code[v], S::template compare<kPassed>(value[v], edge), 1);
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      valid[v] = static_cast<typename S::Mask>(-1);
      if (kMode != Mode::codes)
        valid[v] = S::template compare<_CMP_LE_OQ>(lowest, value[v]) &
                   S::template compare<_CMP_LE_OQ>(value[v], highest);
      else  // NaN passes every edge
        code[v] = S::choose(code[v], S::template compare<_CMP_UNORD_Q>(value[v], value[v]), t.n_edges);
    }
    for (int v = 0; v < kVectors; v += kJoined)
      clean &=
          contribute<kMode>(join(code + v, S{}), join(valid + v, S{}), rest, accumulator + i + kLanes * v);
  }
  return finish(x, i, n, t, fresh, accumulator) && clean == static_cast<__mmask16>(-1);
}

template <class S, Mode kMode>
EVTOK_INSIDE bool choose(const typename S::Value* x, int64_t n, const BinTable<typename S::Value>& t,
                         bool fresh, int32_t* accumulator) {
  if (t.lanes == 0) return finish(x, 0, n, t, fresh, accumulator);  // too many edges for the vector layout
  if (t.right) return search<S, _CMP_GT_OQ, kMode>(x, n, t, fresh, accumulator);
  return search<S, _CMP_GE_OQ, kMode>(x, n, t, fresh, accumulator);
}

template <class S>
EVTOK_INSIDE void accumulate(const typename S::Value* x, int64_t n, const BinTable<typename S::Value>& t,
                             bool fresh, int32_t* accumulator) {
  if (t.check)
    choose<S, Mode::flags>(x, n, t, fresh, accumulator);
  else
    choose<S, Mode::codes>(x, n, t, fresh, accumulator);
}

template <class S>
EVTOK_INSIDE bool sum(const typename S::Value* x, int64_t n, const BinTable<typename S::Value>& t, bool fresh,
                      int32_t* accumulator) {
  if (t.check) return choose<S, Mode::sums>(x, n, t, fresh, accumulator);
  accumulate<S>(x, n, t, fresh, accumulator);
  if (!t.outside_unknown) return true;
  int32_t all = 0;  // without the check, only values outside are flagged
  for (int64_t i = 0; i < n; ++i) all |= accumulator[i];
  return (all & kUnknown) == 0;
}

}  // namespace

void accumulate_bins_f32_avx512(const float* x, int64_t n, const BinTable<float>& t, bool fresh,
                                int32_t* accumulator) {
  accumulate<F32>(x, n, t, fresh, accumulator);
}
void accumulate_bins_f64_avx512(const double* x, int64_t n, const BinTable<double>& t, bool fresh,
                                int32_t* accumulator) {
  accumulate<F64>(x, n, t, fresh, accumulator);
}
bool sum_bins_f32_avx512(const float* x, int64_t n, const BinTable<float>& t, bool fresh,
                         int32_t* accumulator) {
  return sum<F32>(x, n, t, fresh, accumulator);
}
bool sum_bins_f64_avx512(const double* x, int64_t n, const BinTable<double>& t, bool fresh,
                         int32_t* accumulator) {
  return sum<F64>(x, n, t, fresh, accumulator);
}

}  // namespace evtok
