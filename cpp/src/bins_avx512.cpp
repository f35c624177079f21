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

// Adds the contributions of 16 codes to the accumulator; `valid` says where the value is valid.
EVTOK_INSIDE void contribute(__m512i code, __mmask16 valid, const __m512i first, const __m512i last,
                             const __m512i origin, const __m512i stride, bool flag_outside, bool fresh,
                             int32_t* accumulator) {
  const __m512i flags = _mm512_set1_epi32(kInvalid | kUnknown);
  const __m512i clamped = _mm512_min_epi32(_mm512_max_epi32(code, first), last);
  __m512i sum = _mm512_mullo_epi32(_mm512_sub_epi32(clamped, origin), stride);
  if (flag_outside)
    sum =
        _mm512_mask_or_epi32(sum, _mm512_cmpneq_epi32_mask(clamped, code), sum, _mm512_set1_epi32(kUnknown));
  sum = _mm512_mask_mov_epi32(_mm512_set1_epi32(kInvalid), valid, sum);
  if (!fresh) {
    const __m512i before = _mm512_loadu_si512(accumulator);
    const __m512i flag = _mm512_and_si512(_mm512_or_si512(before, sum), flags);
    sum = _mm512_or_si512(_mm512_andnot_si512(flags, _mm512_add_epi32(before, sum)), flag);
  }
  _mm512_storeu_si512(accumulator, sum);
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

// `kPassed` is the ordered comparison that holds where x has passed an edge.
template <class S, int kPassed>
EVTOK_INSIDE void search(const typename S::Value* x, int64_t n, const BinTable<typename S::Value>& t,
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
  const __m512i first = _mm512_set1_epi32(t.first), last = _mm512_set1_epi32(t.last),
                origin = _mm512_set1_epi32(t.origin);
  const __m512i stride = _mm512_set1_epi32(t.stride);
  const typename S::Vector lowest = S::all(t.lowest), highest = S::all(t.highest);
  const bool check = t.check, flag_outside = t.outside_unknown;

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
      if (check)
        valid[v] = S::template compare<_CMP_LE_OQ>(lowest, value[v]) &
                   S::template compare<_CMP_LE_OQ>(value[v], highest);
      else  // NaN passes every edge
        code[v] = S::choose(code[v], S::template compare<_CMP_UNORD_Q>(value[v], value[v]), t.n_edges);
    }
    for (int v = 0; v < kVectors; v += kJoined)
      contribute(join(code + v, S{}), join(valid + v, S{}), first, last, origin, stride, flag_outside, fresh,
                 accumulator + i + kLanes * v);
  }
  for (; i < n; ++i) {
    const int32_t contribution = bin_contribution(x[i], t);
    accumulator[i] = fresh ? contribution : add_contribution(accumulator[i], contribution);
  }
}

template <class S>
EVTOK_INSIDE void choose(const typename S::Value* x, int64_t n, const BinTable<typename S::Value>& t,
                         bool fresh, int32_t* accumulator) {
  if (t.lanes == S::lanes && t.right) return search<S, _CMP_GT_OQ>(x, n, t, fresh, accumulator);
  if (t.lanes == S::lanes) return search<S, _CMP_GE_OQ>(x, n, t, fresh, accumulator);
  for (int64_t i = 0; i < n; ++i) {  // too many edges for the vector layout
    const int32_t contribution = bin_contribution(x[i], t);
    accumulator[i] = fresh ? contribution : add_contribution(accumulator[i], contribution);
  }
}

}  // namespace

void accumulate_bins_f32_avx512(const float* x, int64_t n, const BinTable<float>& t, bool fresh,
                                int32_t* accumulator) {
  choose<F32>(x, n, t, fresh, accumulator);
}

void accumulate_bins_f64_avx512(const double* x, int64_t n, const BinTable<double>& t, bool fresh,
                                int32_t* accumulator) {
  choose<F64>(x, n, t, fresh, accumulator);
}

}  // namespace evtok
