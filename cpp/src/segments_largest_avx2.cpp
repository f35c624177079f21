// The largest values of events with AVX2. Lanes beside an event, and values of weight 0, are minus infinity,
// which is below every value; an event where nothing else is left has no values.
#include <immintrin.h>

#include "evtok/segment_blocks_avx2.hpp"
#include "evtok/segments.hpp"
#include "evtok/transpose_avx2.hpp"

namespace evtok {
namespace {

// What max needs of a dtype: a block has as many events as a vector has lanes.
struct F32 {
  using Value = float;
  using Vector = __m256;
  static constexpr int lanes = 8;
  static constexpr ReduceSegments<float> scalar = reduce_segments_f32_scalar;
  static EVTOK_FORMULA Vector all(float x) { return _mm256_set1_ps(x); }
  static EVTOK_FORMULA Vector load(const float* p) { return _mm256_loadu_ps(p); }
  static EVTOK_FORMULA Vector load(const float* p, __m256i where) {
    return _mm256_and_ps(_mm256_loadu_ps(p), as_vector(where));
  }
  static EVTOK_FORMULA void store(float* p, Vector x) { _mm256_storeu_ps(p, x); }
  static EVTOK_FORMULA __m256i first(int64_t n) { return first_lanes(n); }
  static EVTOK_FORMULA Vector as_vector(__m256i where) { return _mm256_castsi256_ps(where); }
  static EVTOK_FORMULA Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
  static EVTOK_FORMULA Vector mul(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  static EVTOK_FORMULA Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  static EVTOK_FORMULA Vector max(Vector a, Vector b) { return _mm256_max_ps(a, b); }
  static EVTOK_FORMULA Vector choose(Vector otherwise, Vector chosen, Vector where) {
    return _mm256_blendv_ps(otherwise, chosen, where);
  }
  static EVTOK_FORMULA Vector equal(Vector a, Vector b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
  static EVTOK_FORMULA Vector not_equal(Vector a, Vector b) { return _mm256_cmp_ps(a, b, _CMP_NEQ_UQ); }
  static EVTOK_FORMULA Vector not_at_least(Vector a, Vector b) { return _mm256_cmp_ps(a, b, _CMP_NGE_UQ); }
  static EVTOK_FORMULA Vector either(Vector a, Vector b) { return _mm256_or_ps(a, b); }
  static EVTOK_FORMULA bool any(Vector where) { return _mm256_movemask_ps(where) != 0; }
  /// The largest of each of eight vectors, in their order.
  static EVTOK_FORMULA Vector largest_of_each(const Vector (&x)[8]) {
    Vector pair[4];
    for (int p = 0; p < 4; ++p)
      pair[p] = max(_mm256_permute2f128_ps(x[2 * p], x[2 * p + 1], 0x20),
                    _mm256_permute2f128_ps(x[2 * p], x[2 * p + 1], 0x31));
    const auto join = [](Vector a, Vector b) __attribute__((always_inline)) {
      return max(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xEE));
    };
    const Vector low = join(pair[0], pair[1]), high = join(pair[2], pair[3]);
    const Vector mixed = max(_mm256_shuffle_ps(low, high, 0x88), _mm256_shuffle_ps(low, high, 0xDD));
    return _mm256_permutevar8x32_ps(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  }
};

struct F64 {
  using Value = double;
  using Vector = __m256d;
  static constexpr int lanes = 4;
  static constexpr ReduceSegments<double> scalar = reduce_segments_f64_scalar;
  static EVTOK_FORMULA Vector all(double x) { return _mm256_set1_pd(x); }
  static EVTOK_FORMULA Vector load(const double* p) { return _mm256_loadu_pd(p); }
  static EVTOK_FORMULA Vector load(const double* p, __m256i where) {
    return _mm256_and_pd(_mm256_loadu_pd(p), as_vector(where));
  }
  static EVTOK_FORMULA void store(double* p, Vector x) { _mm256_storeu_pd(p, x); }
  static EVTOK_FORMULA __m256i first(int64_t n) { return first_wide_lanes(n); }
  static EVTOK_FORMULA Vector as_vector(__m256i where) { return _mm256_castsi256_pd(where); }
  static EVTOK_FORMULA Vector add(Vector a, Vector b) { return _mm256_add_pd(a, b); }
  static EVTOK_FORMULA Vector mul(Vector a, Vector b) { return _mm256_mul_pd(a, b); }
  static EVTOK_FORMULA Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_pd(a, b, c); }
  static EVTOK_FORMULA Vector max(Vector a, Vector b) { return _mm256_max_pd(a, b); }
  static EVTOK_FORMULA Vector choose(Vector otherwise, Vector chosen, Vector where) {
    return _mm256_blendv_pd(otherwise, chosen, where);
  }
  static EVTOK_FORMULA Vector equal(Vector a, Vector b) { return _mm256_cmp_pd(a, b, _CMP_EQ_OQ); }
  static EVTOK_FORMULA Vector not_equal(Vector a, Vector b) { return _mm256_cmp_pd(a, b, _CMP_NEQ_UQ); }
  static EVTOK_FORMULA Vector not_at_least(Vector a, Vector b) { return _mm256_cmp_pd(a, b, _CMP_NGE_UQ); }
  static EVTOK_FORMULA Vector either(Vector a, Vector b) { return _mm256_or_pd(a, b); }
  static EVTOK_FORMULA bool any(Vector where) { return _mm256_movemask_pd(where) != 0; }
  static EVTOK_FORMULA Vector largest_of_each(const Vector (&x)[4]) {
    const auto halves = [](Vector a, Vector b) __attribute__((always_inline)) {
      return max(_mm256_permute2f128_pd(a, b, 0x20), _mm256_permute2f128_pd(a, b, 0x31));
    };
    const Vector low = halves(x[0], x[1]), high = halves(x[2], x[3]);
    return _mm256_permute4x64_pd(max(_mm256_shuffle_pd(low, high, 0), _mm256_shuffle_pd(low, high, 15)),
                                 0xD8);
  }
};

// What shows that some value or weight of a block is invalid.
template <class S> struct Fault {
  typename S::Vector below_zero = S::all(0);  // where a weight is, or is NaN
  typename S::Vector zero = S::all(0);        // stays 0 while all products are finite

  EVTOK_FORMULA bool found() const { return S::any(S::either(below_zero, S::not_equal(zero, S::all(0)))); }
};

// Values at v and weights at w where `where` is set, else minus infinity.
template <class S, bool kWeighted, bool kAll>
EVTOK_FORMULA typename S::Vector weighted(const typename S::Value* v, const typename S::Value* w,
                                          __m256i where, Fault<S>& fault) {
  using Vector = typename S::Vector;
  Vector u = kAll ? S::load(v) : S::load(v, where);
  Vector kept = S::as_vector(where);
  if constexpr (kWeighted) {
    const Vector weight = kAll ? S::load(w) : S::load(w, where);
    u = S::mul(u, weight);
    fault.below_zero = S::either(fault.below_zero, S::not_at_least(weight, S::all(0)));
    kept = S::not_equal(weight, S::all(0));  // lanes beside the event have the weight 0
  }
  fault.zero = S::fma(u, S::all(0), fault.zero);
  return kAll && !kWeighted ? u : S::choose(S::all(-kInfinity), u, kept);
}

// Gives NaN to the invalid ones of n_events events from `first` on; returns how many they are. The results of
// the others stand: no value of one event meets another's.
template <class T> int64_t mark_invalid(const Segments<T>& events, int64_t first, int64_t n_events, T* out) {
  int64_t invalid = 0;
  for (int64_t e = first; e < first + n_events; ++e) {
    bool wrong = false;
    for (int64_t i = events.offsets[e]; i < events.offsets[e + 1]; ++i) {
      const T weight = events.weights == nullptr ? T{1} : events.weights[i - events.weights_from];
      const T product = events.values[i] * weight;
      wrong |= !(weight >= 0) || !(product - product == 0);
    }
    if (wrong) out[e] = static_cast<T>(__builtin_nan(""));
    invalid += wrong ? 1 : 0;
  }
  return invalid;
}

template <class S, bool kWeighted>
int64_t maxima(const Segments<typename S::Value>& events, const SegmentRule& rule, int64_t begin, int64_t end,
               typename S::Value* out) {
  using T = typename S::Value;
  using Vector = typename S::Vector;
  const Vector lowest = S::all(-kInfinity), empty = S::all(static_cast<T>(rule.empty));
  const int64_t stop = end_of_blocks<S::lanes>(events, begin, end);
  int64_t invalid = 0;
  for (int64_t e = begin; e < stop; e += S::lanes) {
    const int64_t* offsets = events.offsets + e;
    Fault<S> fault;
    Vector top[S::lanes];
#pragma GCC unroll 8
    for (int q = 0; q < S::lanes; ++q) {
      const T* v = events.values + offsets[q];
      const T* w = kWeighted ? events.weights + (offsets[q] - events.weights_from) : v;
      int64_t n = offsets[q + 1] - offsets[q];
      top[q] = lowest;
      for (; n >= 16; n -= 16, v += 16, w += 16)
        for (int at = 0; at < 16; at += S::lanes)
          top[q] = S::max(top[q], weighted<S, kWeighted, true>(v + at, w + at, __m256i{}, fault));
      for (int at = 0; at < 16; at += S::lanes)
        top[q] = S::max(top[q], weighted<S, kWeighted, false>(v + at, w + at, S::first(n - at), fault));
    }
    const Vector largest = S::largest_of_each(top);
    const Vector result =
        S::choose(S::add(largest, S::all(0)), empty, S::equal(largest, lowest));  // -0 + 0 is +0
    S::store(out + e, result);
    if (fault.found()) invalid += mark_invalid(events, e, S::lanes, out);
  }
  return invalid + S::scalar(events, rule, stop, end, out);
}

// The kLargest largest of what went through each lane, the largest first; duplicates count.
template <int kLargest> struct Largest {
  __m256 at[kLargest];

  EVTOK_FORMULA Largest() {
    for (__m256& x : at) x = _mm256_set1_ps(-kInfinity);
  }
  EVTOK_FORMULA void insert(__m256 x) {
    for (__m256& here : at) {
      const __m256 larger = _mm256_max_ps(here, x);
      x = _mm256_min_ps(here, x);
      here = larger;
    }
  }
  /// Their means to four results, of lanes 4 * half on; `empty` where there are none.
  EVTOK_FORMULA __m128 means(int half, __m256d empty) const {
    const __m256d zero = _mm256_setzero_pd(), one = _mm256_set1_pd(1);
    __m256d sum = zero, number = zero;
    for (const __m256 x : at) {
      const __m256d value = _mm256_cvtps_pd(half ? _mm256_extractf128_ps(x, 1) : _mm256_castps256_ps128(x));
      const __m256d there = _mm256_cmp_pd(value, _mm256_set1_pd(-kInfinity), _CMP_NEQ_OQ);
      sum = _mm256_add_pd(sum, _mm256_and_pd(value, there));
      number = _mm256_add_pd(number, _mm256_and_pd(one, there));
    }
    const __m256d mean = _mm256_div_pd(sum, number);
    return _mm256_cvtpd_ps(_mm256_blendv_pd(mean, empty, _mm256_cmp_pd(number, zero, _CMP_EQ_OQ)));
  }
};

// Whether events of these lengths differ so much that lanes would mostly be idle.
EVTOK_FORMULA bool uneven(int64_t longest, int64_t total) {
  return longest > 64 && 8 * longest > 4 * total;
}

// Eight events a block, an event a lane: squares of eight values of each are turned.
template <int kLargest, bool kWeighted>
int64_t top_means_of(const Segments<float>& events, const SegmentRule& rule, int64_t begin, int64_t end,
                     float* out) {
  const __m256d empty = _mm256_set1_pd(rule.empty);
  const int64_t stop = end_of_blocks<8>(events, begin, end);
  int64_t invalid = 0;
  for (int64_t e = begin; e < stop; e += 8) {
    const int64_t* offsets = events.offsets + e;
    Fault<F32> fault;
    Largest<kLargest> top;
    int64_t longest = 0;
    for (int q = 0; q < 8; ++q) {
      const int64_t n = offsets[q + 1] - offsets[q];
      longest = n > longest ? n : longest;
    }
    if (uneven(longest, offsets[8] - offsets[0])) {
      invalid += reduce_segments_f32_scalar(events, rule, e, e + 8, out);
      continue;
    }
    for (int64_t from = 0; from < longest; from += 8) {
      __m256 row[8], values[8];
      for (int q = 0; q < 8; ++q) {
        const int64_t n = offsets[q + 1] - offsets[q], at = from < n ? from : n;
        const int64_t left = n - at < 8 ? n - at : 8;
        const float* v = events.values + offsets[q] + at;
        const float* w = kWeighted ? events.weights + (offsets[q] + at - events.weights_from) : v;
        row[q] = weighted<F32, kWeighted, false>(v, w, first_lanes(left), fault);
      }
      transpose8(row, values);
      for (const __m256 x : values) top.insert(x);
    }
    _mm_storeu_ps(out + e, top.means(0, empty));
    _mm_storeu_ps(out + e + 4, top.means(1, empty));
    if (fault.found()) invalid += mark_invalid(events, e, 8, out);
  }
  return invalid + reduce_segments_f32_scalar(events, rule, stop, end, out);
}

// For k from kLargest on.
template <int kLargest, bool kWeighted>
int64_t top_means(const Segments<float>& events, const SegmentRule& rule, int64_t begin, int64_t end,
                  float* out) {
  if constexpr (kLargest < kMostInVectors)
    if (rule.k > kLargest) return top_means<kLargest + 1, kWeighted>(events, rule, begin, end, out);
  return top_means_of<kLargest, kWeighted>(events, rule, begin, end, out);
}

}  // namespace

int64_t maxima_f32_avx2(const Segments<float>& events, const SegmentRule& rule, int64_t begin, int64_t end,
                        float* out) {
  return events.weights != nullptr ? maxima<F32, true>(events, rule, begin, end, out)
                                   : maxima<F32, false>(events, rule, begin, end, out);
}

int64_t maxima_f64_avx2(const Segments<double>& events, const SegmentRule& rule, int64_t begin, int64_t end,
                        double* out) {
  return events.weights != nullptr ? maxima<F64, true>(events, rule, begin, end, out)
                                   : maxima<F64, false>(events, rule, begin, end, out);
}

int64_t top_means_avx2(const Segments<float>& events, const SegmentRule& rule, int64_t begin, int64_t end,
                       float* out) {
  return events.weights != nullptr ? top_means<1, true>(events, rule, begin, end, out)
                                   : top_means<1, false>(events, rule, begin, end, out);
}

}  // namespace evtok
