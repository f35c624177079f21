// Sums and means of events with AVX2, four events at a time; the choice between these and the largest values.
#include <immintrin.h>

#include "evtok/segment_blocks_avx2.hpp"
#include "evtok/segments.hpp"

namespace evtok {
namespace {

constexpr int kEvents = 4;

// Eight values in float64. Lanes beside the event are cleared to +0, which changes no sum.
struct Eight {
  __m256d low, high;
};

EVTOK_FORMULA Eight widened(__m256 x) {
  return {_mm256_cvtps_pd(_mm256_castps256_ps128(x)), _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))};
}
EVTOK_FORMULA Eight load(const float* p) {
  return widened(_mm256_loadu_ps(p));
}
EVTOK_FORMULA Eight load(const float* p, int64_t n) {
  return widened(_mm256_and_ps(_mm256_loadu_ps(p), _mm256_castsi256_ps(first_lanes(n))));
}
EVTOK_FORMULA Eight load(const double* p) {
  return {_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)};
}
EVTOK_FORMULA Eight load(const double* p, int64_t n) {
  return {_mm256_and_pd(_mm256_loadu_pd(p), _mm256_castsi256_pd(first_wide_lanes(n))),
          _mm256_and_pd(_mm256_loadu_pd(p + 4), _mm256_castsi256_pd(first_wide_lanes(n - 4)))};
}

// The eight partial sums of an event, and those of its weights.
template <bool kWeighted> struct PartialSums {
  Eight values{_mm256_setzero_pd(), _mm256_setzero_pd()}, weights = values;

  // `lowest` (4,) keeps the lowest weight that each lane has seen; NaN is found in the sum.
  EVTOK_FORMULA void add(Eight v, Eight w, __m256d& lowest) {
    if constexpr (kWeighted) {
      values.low = _mm256_fmadd_pd(v.low, w.low, values.low);
      values.high = _mm256_fmadd_pd(v.high, w.high, values.high);
      weights.low = _mm256_add_pd(weights.low, w.low);
      weights.high = _mm256_add_pd(weights.high, w.high);
      lowest = _mm256_min_pd(lowest, _mm256_min_pd(w.low, w.high));
    } else {
      values.low = _mm256_add_pd(values.low, v.low);
      values.high = _mm256_add_pd(values.high, v.high);
    }
  }

  template <class T> EVTOK_FORMULA void add_event(const T* v, const T* w, int64_t n, __m256d& lowest) {
    for (; n >= 16; n -= 16, v += 16, w += kWeighted ? 16 : 0)
      for (int part = 0; part < 16; part += 8) add(load(v + part), load((kWeighted ? w : v) + part), lowest);
    for (int part = 0; part < 16; part += 8)
      add(load(v + part, n - part), load((kWeighted ? w : v) + part, n - part), lowest);
  }
};

// The totals of four events from the partial sums 0 to 3 of each, with 4 to 7 added to them.
EVTOK_FORMULA __m256d totals(const __m256d (&four)[kEvents]) {
  const auto halves = [](__m256d a, __m256d b) __attribute__((always_inline)) {
    return _mm256_add_pd(_mm256_permute2f128_pd(a, b, 0x20), _mm256_permute2f128_pd(a, b, 0x31));
  };
  const __m256d pairs = _mm256_hadd_pd(halves(four[0], four[1]), halves(four[2], four[3]));
  return _mm256_permute4x64_pd(pairs, 0xD8);  // they come as events 0, 2, 1, 3
}

EVTOK_FORMULA __m256d not_finite(__m256d x) {
  return _mm256_cmp_pd(_mm256_sub_pd(x, x), _mm256_setzero_pd(), _CMP_NEQ_UQ);
}

// The numbers of values of four events; each is below 2^52, so that it is the lower part of a float64.
EVTOK_FORMULA __m256d lengths(const int64_t* offsets) {
  const __m256i n = _mm256_sub_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(offsets + 1)),
                                     _mm256_loadu_si256(reinterpret_cast<const __m256i*>(offsets)));
  const __m256d two52 = _mm256_set1_pd(0x1p52);
  return _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(n, _mm256_castpd_si256(two52))), two52);
}

EVTOK_FORMULA void store(__m256d results, float* to) {
  _mm_storeu_ps(to, _mm256_cvtpd_ps(results));
}
EVTOK_FORMULA void store(__m256d results, double* to) {
  _mm256_storeu_pd(to, results);
}

// `result` as T holds it.
EVTOK_FORMULA __m256d rounded_to(__m256d result, const float*) {
  return _mm256_cvtps_pd(_mm256_cvtpd_ps(result));
}
EVTOK_FORMULA __m256d rounded_to(__m256d result, const double*) {
  return result;
}

template <class T, bool kWeighted, bool kMean>
int64_t sums_or_means(const Segments<T>& events, const SegmentRule& rule, ReduceSegments<T> scalar,
                      int64_t begin, int64_t end, T* out) {
  const __m256d empty = _mm256_set1_pd(rule.empty), zero = _mm256_setzero_pd();
  const int64_t stop = end_of_blocks<kEvents>(events, begin, end);
  int64_t invalid = 0;
  for (int64_t e = begin; e < stop; e += kEvents) {
    const int64_t* offsets = events.offsets + e;
    __m256d values[kEvents], weights[kEvents], lowest = zero;
#pragma GCC unroll 4
    for (int q = 0; q < kEvents; ++q) {
      PartialSums<kWeighted> sums;
      sums.add_event(events.values + offsets[q],
                     kWeighted ? events.weights + (offsets[q] - events.weights_from) : nullptr,
                     offsets[q + 1] - offsets[q], lowest);
      values[q] = _mm256_add_pd(sums.values.low, sums.values.high);
      if constexpr (kWeighted) weights[q] = _mm256_add_pd(sums.weights.low, sums.weights.high);
    }
    const __m256d sum = totals(values);
    const __m256d weight = kWeighted ? totals(weights) : lengths(offsets);
    const __m256d no_values = _mm256_cmp_pd(weight, zero, _CMP_EQ_OQ);
    __m256d result = rounded_to(kMean ? _mm256_div_pd(sum, weight) : sum, out);
    // Where there is a value, a sum that is not finite gives such a result too.
    __m256d bad = _mm256_andnot_pd(no_values, not_finite(result));
    if constexpr (kWeighted) {
      bad = _mm256_or_pd(bad, _mm256_or_pd(not_finite(sum), not_finite(weight)));
      bad = _mm256_or_pd(bad, _mm256_cmp_pd(lowest, zero, _CMP_LT_OQ));
    }
    result = _mm256_blendv_pd(result, empty, no_values);
    store(result, out + e);
    if (_mm256_movemask_pd(bad) != 0) invalid += scalar(events, rule, e, e + kEvents, out);
  }
  return invalid + scalar(events, rule, stop, end, out);
}

template <class T>
int64_t reduce(const Segments<T>& events, const SegmentRule& rule, ReduceSegments<T> scalar, int64_t begin,
               int64_t end, T* out) {
  const bool weighted = events.weights != nullptr, mean = rule.reduction == Reduction::mean;
  const auto kernel = mean ? (weighted ? sums_or_means<T, true, true> : sums_or_means<T, false, true>)
                           : (weighted ? sums_or_means<T, true, false> : sums_or_means<T, false, false>);
  return kernel(events, rule, scalar, begin, end, out);
}

}  // namespace

void weights_of_types_avx2(const uint8_t* types, int64_t n, const float* of_types, float* weights) {
  const __m256 table = _mm256_loadu_ps(of_types);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256i type = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(types + i)));
    _mm256_storeu_ps(weights + i, _mm256_permutevar8x32_ps(table, type));
  }
  for (; i < n; ++i) weights[i] = of_types[types[i]];
}

int64_t reduce_segments_f32_avx2(const Segments<float>& events, const SegmentRule& rule, int64_t begin,
                                 int64_t end, float* out) {
  switch (rule.reduction) {
  case Reduction::sum:
  case Reduction::mean:
    return reduce(events, rule, reduce_segments_f32_scalar, begin, end, out);
  case Reduction::max:
    return maxima_f32_avx2(events, rule, begin, end, out);
  case Reduction::top_mean:
    break;
  }
  return top_means_avx2(events, rule, begin, end, out);
}

int64_t reduce_segments_f64_avx2(const Segments<double>& events, const SegmentRule& rule, int64_t begin,
                                 int64_t end, double* out) {
  if (rule.reduction == Reduction::max) return maxima_f64_avx2(events, rule, begin, end, out);
  return reduce(events, rule, reduce_segments_f64_scalar, begin, end, out);
}

}  // namespace evtok
