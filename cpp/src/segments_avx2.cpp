// Reductions over events with AVX2. The last values of an event are loaded with a mask; the lanes beside them
// hold +0, which changes no sum, or minus infinity, which is below every value.
#include <immintrin.h>

#include "evtok/segments.hpp"

namespace evtok {
namespace {

#define EVTOK_INSIDE inline __attribute__((always_inline))

constexpr float kInfinity = __builtin_inff();

// Sets the first `n` lanes of 8 x 32 bits, n up to 8.
EVTOK_INSIDE __m256i first_lanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

// The eight partial sums of T values.
struct Sums {
  __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();

  EVTOK_INSIDE double total() const {
    const __m256d four = _mm256_add_pd(low, high);
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
  }
};

struct Eight {
  __m256d low, high;
};

EVTOK_INSIDE Eight load(const float* p) {
  const __m256 x = _mm256_loadu_ps(p);
  return {_mm256_cvtps_pd(_mm256_castps256_ps128(x)), _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))};
}
EVTOK_INSIDE Eight load(const float* p, __m256i lanes) {
  const __m256 x = _mm256_maskload_ps(p, lanes);
  return {_mm256_cvtps_pd(_mm256_castps256_ps128(x)), _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))};
}
EVTOK_INSIDE Eight load(const double* p) {
  return {_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)};
}
EVTOK_INSIDE Eight load(const double* p, __m256i lanes) {
  return {_mm256_maskload_pd(p, _mm256_cvtepi32_epi64(_mm256_castsi256_si128(lanes))),
          _mm256_maskload_pd(p + 4, _mm256_cvtepi32_epi64(_mm256_extracti128_si256(lanes, 1)))};
}

struct Totals {
  Sums values, weights;
  __m256d lowest = _mm256_setzero_pd();  // of the weights, or 0

  EVTOK_INSIDE void add(Eight v, Eight w) {
    values.low = _mm256_fmadd_pd(v.low, w.low, values.low);
    values.high = _mm256_fmadd_pd(v.high, w.high, values.high);
    weights.low = _mm256_add_pd(weights.low, w.low);
    weights.high = _mm256_add_pd(weights.high, w.high);
    lowest = _mm256_min_pd(lowest, _mm256_min_pd(w.low, w.high));  // NaN is found in the sum
  }
  EVTOK_INSIDE void add(Eight v) {
    values.low = _mm256_add_pd(values.low, v.low);
    values.high = _mm256_add_pd(values.high, v.high);
  }
};

template <class T, bool kWeighted, bool kMean>
int64_t sums_or_means(const Segments<T>& events, const SegmentRule& rule, int64_t begin, int64_t end,
                      T* out) {
  const T empty = static_cast<T>(rule.empty);
  int64_t invalid = 0;
  for (int64_t e = begin; e < end; ++e) {
    const int64_t start = events.offsets[e], n = events.offsets[e + 1] - start;
    const T* v = events.values + start;
    const T* w = kWeighted ? events.weights + (start - events.weights_from) : nullptr;
    Totals totals;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
      if constexpr (kWeighted)
        totals.add(load(v + i), load(w + i));
      else
        totals.add(load(v + i));
    }
    const __m256i rest = first_lanes(n - i);
    if constexpr (kWeighted)
      totals.add(load(v + i, rest), load(w + i, rest));
    else
      totals.add(load(v + i, rest));
    const double sum = totals.values.total();
    const double weight = kWeighted ? totals.weights.total() : static_cast<double>(n);
    T result = static_cast<T>(kMean ? sum / weight : sum);
    bool bad = kWeighted && _mm256_movemask_pd(_mm256_cmp_pd(totals.lowest, _mm256_setzero_pd(), _CMP_LT_OQ));
    bad |= !(sum - sum == 0) || !(weight - weight == 0);
    if (weight == 0)
      result = empty;
    else
      bad |= !(result - result == 0);
    out[e] = bad ? static_cast<T>(__builtin_nan("")) : result;
    invalid += bad ? 1 : 0;
  }
  return invalid;
}

// What max and top_mean need of a dtype: eight float32 or four float64 in a vector.
struct F32 {
  using Value = float;
  using Vector = __m256;
  static constexpr int64_t width = 8;
  static EVTOK_INSIDE Vector all(float x) { return _mm256_set1_ps(x); }
  static EVTOK_INSIDE Vector load(const float* p) { return _mm256_loadu_ps(p); }
  static EVTOK_INSIDE Vector load(const float* p, __m256i lanes) { return _mm256_maskload_ps(p, lanes); }
  static EVTOK_INSIDE __m256i lanes(int64_t n) { return first_lanes(n); }
  static EVTOK_INSIDE Vector as_vector(__m256i lanes) { return _mm256_castsi256_ps(lanes); }
  static EVTOK_INSIDE Vector mul(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  static EVTOK_INSIDE Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  static EVTOK_INSIDE Vector max(Vector a, Vector b) { return _mm256_max_ps(a, b); }
  static EVTOK_INSIDE Vector min(Vector a, Vector b) { return _mm256_min_ps(a, b); }
  static EVTOK_INSIDE Vector either(Vector a, Vector b) { return _mm256_or_ps(a, b); }
  static EVTOK_INSIDE Vector choose(Vector otherwise, Vector chosen, Vector where) {
    return _mm256_blendv_ps(otherwise, chosen, where);
  }
  static EVTOK_INSIDE Vector below_zero(Vector x) {
    return _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_NGE_UQ);
  }
  static EVTOK_INSIDE Vector not_zero(Vector x) { return _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_NEQ_UQ); }
  static EVTOK_INSIDE int64_t count(Vector lanes) {
    return __builtin_popcount(static_cast<unsigned>(_mm256_movemask_ps(lanes)));
  }
  static constexpr int folds = 3;
  /// Brings the other half of what is left of the lanes onto the first half.
  template <int kFold> static EVTOK_INSIDE Vector other(Vector x) {
    if constexpr (kFold == 0) return _mm256_permute2f128_ps(x, x, 1);
    if constexpr (kFold == 1) return _mm256_permute_ps(x, 0x4E);
    if constexpr (kFold == 2) return _mm256_permute_ps(x, 0xB1);
  }
  static EVTOK_INSIDE float first(Vector x) { return _mm256_cvtss_f32(x); }
};

struct F64 {
  using Value = double;
  using Vector = __m256d;
  static constexpr int64_t width = 4;
  static EVTOK_INSIDE Vector all(double x) { return _mm256_set1_pd(x); }
  static EVTOK_INSIDE Vector load(const double* p) { return _mm256_loadu_pd(p); }
  static EVTOK_INSIDE Vector load(const double* p, __m256i lanes) { return _mm256_maskload_pd(p, lanes); }
  static EVTOK_INSIDE __m256i lanes(int64_t n) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
  }
  static EVTOK_INSIDE Vector as_vector(__m256i lanes) { return _mm256_castsi256_pd(lanes); }
  static EVTOK_INSIDE Vector mul(Vector a, Vector b) { return _mm256_mul_pd(a, b); }
  static EVTOK_INSIDE Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_pd(a, b, c); }
  static EVTOK_INSIDE Vector max(Vector a, Vector b) { return _mm256_max_pd(a, b); }
  static EVTOK_INSIDE Vector min(Vector a, Vector b) { return _mm256_min_pd(a, b); }
  static EVTOK_INSIDE Vector either(Vector a, Vector b) { return _mm256_or_pd(a, b); }
  static EVTOK_INSIDE Vector choose(Vector otherwise, Vector chosen, Vector where) {
    return _mm256_blendv_pd(otherwise, chosen, where);
  }
  static EVTOK_INSIDE Vector below_zero(Vector x) {
    return _mm256_cmp_pd(x, _mm256_setzero_pd(), _CMP_NGE_UQ);
  }
  static EVTOK_INSIDE Vector not_zero(Vector x) { return _mm256_cmp_pd(x, _mm256_setzero_pd(), _CMP_NEQ_UQ); }
  static EVTOK_INSIDE int64_t count(Vector lanes) {
    return __builtin_popcount(static_cast<unsigned>(_mm256_movemask_pd(lanes)));
  }
  static constexpr int folds = 2;
  template <int kFold> static EVTOK_INSIDE Vector other(Vector x) {
    if constexpr (kFold == 0) return _mm256_permute2f128_pd(x, x, 1);
    if constexpr (kFold == 1) return _mm256_permute_pd(x, 0x5);
  }
  static EVTOK_INSIDE double first(Vector x) { return _mm256_cvtsd_f64(x); }
};

// The kLargest largest of what went through each lane, the largest first; duplicates count.
template <class S, int kLargest> struct Largest {
  typename S::Vector at[kLargest];

  EVTOK_INSIDE Largest() {
    for (typename S::Vector& x : at) x = S::all(-kInfinity);
  }
  /// `above` of those here are known to be at or above x.
  EVTOK_INSIDE void insert(typename S::Vector x, int above = 0) {
    for (int r = above; r < kLargest; ++r) {
      const typename S::Vector larger = S::max(at[r], x);
      x = S::min(at[r], x);
      at[r] = larger;
    }
  }
  template <int kFold> EVTOK_INSIDE void fold() {
    typename S::Vector other[kLargest];
    for (int r = 0; r < kLargest; ++r) other[r] = S::template other<kFold>(at[r]);
    for (int r = 0; r < kLargest; ++r) insert(other[r], r);
  }
};

// max is the largest one; top_mean of rule.k == kLargest else.
template <class S, int kLargest, bool kWeighted>
int64_t largest(const Segments<typename S::Value>& events, const SegmentRule& rule, int64_t begin,
                int64_t end, typename S::Value* out) {
  using T = typename S::Value;
  using Vector = typename S::Vector;
  const T empty = static_cast<T>(rule.empty);
  const Vector lowest = S::all(-kInfinity);
  int64_t invalid = 0;
  for (int64_t e = begin; e < end; ++e) {
    const int64_t start = events.offsets[e], n = events.offsets[e + 1] - start;
    const T* v = events.values + start;
    const T* w = kWeighted ? events.weights + (start - events.weights_from) : nullptr;
    Largest<S, kLargest> top;
    Vector below_zero = S::all(0);  // where a weight is
    Vector zero = S::all(0);        // stays 0 while all products are finite
    int64_t counted = kWeighted ? 0 : n;
    const auto take = [&]<bool kAll>(int64_t i, __m256i lanes) __attribute__((always_inline)) {
      Vector u = kAll ? S::load(v + i) : S::load(v + i, lanes);
      Vector kept = S::as_vector(lanes);
      if constexpr (kWeighted) {
        const Vector weight = kAll ? S::load(w + i) : S::load(w + i, lanes);
        u = S::mul(u, weight);
        below_zero = S::either(below_zero, S::below_zero(weight));
        kept = S::not_zero(weight);  // lanes beside the event have the weight 0
        counted += S::count(kept);
      }
      zero = S::fma(u, S::all(0), zero);
      top.insert(kAll && !kWeighted ? u : S::choose(lowest, u, kept));
    };
    int64_t i = 0;
    for (; i + S::width <= n; i += S::width) take.template operator()<true>(i, __m256i{});
    if (i < n) take.template operator()<false>(i, S::lanes(n - i));
    top.template fold<0>();
    top.template fold<1>();
    if constexpr (S::folds == 3) top.template fold<2>();
    double sum = 0;
    for (int r = 0; r < kLargest; ++r) sum += r < counted ? static_cast<double>(S::first(top.at[r])) : 0.0;
    const int64_t number = counted < kLargest ? counted : kLargest;
    // A maximum is one value: neither the sum from +0 nor the division by 1 rounds it.
    T result = static_cast<T>(kLargest == 1 ? sum : sum / static_cast<double>(number));
    bool wrong = S::count(S::either(below_zero, S::not_zero(zero))) != 0;
    if (counted == 0)
      result = empty;
    else
      wrong |= !(result - result == 0);
    out[e] = wrong ? static_cast<T>(__builtin_nan("")) : result;
    invalid += wrong ? 1 : 0;
  }
  return invalid;
}

// For k from kLargest on.
template <int kLargest, bool kWeighted>
int64_t top_means(const Segments<float>& events, const SegmentRule& rule, int64_t begin, int64_t end,
                  float* out) {
  if constexpr (kLargest < kMostInVectors)
    if (rule.k > kLargest) return top_means<kLargest + 1, kWeighted>(events, rule, begin, end, out);
  return largest<F32, kLargest, kWeighted>(events, rule, begin, end, out);
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
  const bool weighted = events.weights != nullptr;
  switch (rule.reduction) {
  case Reduction::sum:
    return weighted ? sums_or_means<float, true, false>(events, rule, begin, end, out)
                    : sums_or_means<float, false, false>(events, rule, begin, end, out);
  case Reduction::mean:
    return weighted ? sums_or_means<float, true, true>(events, rule, begin, end, out)
                    : sums_or_means<float, false, true>(events, rule, begin, end, out);
  case Reduction::max:
    return weighted ? largest<F32, 1, true>(events, rule, begin, end, out)
                    : largest<F32, 1, false>(events, rule, begin, end, out);
  case Reduction::top_mean:
    break;
  }
  return weighted ? top_means<1, true>(events, rule, begin, end, out)
                  : top_means<1, false>(events, rule, begin, end, out);
}

int64_t reduce_segments_f64_avx2(const Segments<double>& events, const SegmentRule& rule, int64_t begin,
                                 int64_t end, double* out) {
  const bool weighted = events.weights != nullptr;
  if (rule.reduction == Reduction::max)
    return weighted ? largest<F64, 1, true>(events, rule, begin, end, out)
                    : largest<F64, 1, false>(events, rule, begin, end, out);
  if (rule.reduction == Reduction::mean)
    return weighted ? sums_or_means<double, true, true>(events, rule, begin, end, out)
                    : sums_or_means<double, false, true>(events, rule, begin, end, out);
  return weighted ? sums_or_means<double, true, false>(events, rule, begin, end, out)
                  : sums_or_means<double, false, false>(events, rule, begin, end, out);
}

}  // namespace evtok
