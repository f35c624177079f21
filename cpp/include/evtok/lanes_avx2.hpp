// Vector lanes of AVX2. Included by files compiled for it alone; in an anonymous namespace, so that nothing
// of it reaches another file at link time.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "evtok/numerics.hpp"

namespace evtok {
namespace {

struct Avx2F32 {
  using Value = float;
  using Vector = __m256;
  using Index = __m256i;  // a whole number in each lane
  using IndexValue = int32_t;
  static constexpr int width = 8, tile_rows = 4, tile_vectors = 2, row_vectors = 4;
  static EVTOK_FORMULA Vector zero() { return _mm256_setzero_ps(); }
  static EVTOK_FORMULA Index index(int32_t i) { return _mm256_set1_epi32(i); }
  static EVTOK_FORMULA void store_index(IndexValue* p, Index i) {
    _mm256_storeu_si256(reinterpret_cast<Index*>(p), i);
  }
  static EVTOK_FORMULA Index load_index(const IndexValue* p) {
    return _mm256_loadu_si256(reinterpret_cast<const Index*>(p));
  }
  /// `chosen` where a < b.
  static EVTOK_FORMULA Index where_less(Vector a, Vector b, Index chosen, Index otherwise) {
    const Vector less = _mm256_cmp_ps(a, b, _CMP_LT_OQ);
    return _mm256_blendv_epi8(otherwise, chosen, _mm256_castps_si256(less));
  }
  static EVTOK_FORMULA Vector all(float x) { return _mm256_set1_ps(x); }
  static EVTOK_FORMULA Vector load(const float* p) { return _mm256_loadu_ps(p); }
  static EVTOK_FORMULA void store(float* p, Vector a) { _mm256_storeu_ps(p, a); }
  static EVTOK_FORMULA Vector sub(Vector a, Vector b) { return _mm256_sub_ps(a, b); }
  static EVTOK_FORMULA Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  static EVTOK_FORMULA Vector max(Vector a, Vector b) { return _mm256_max_ps(a, b); }
  static EVTOK_FORMULA Vector min(Vector a, Vector b) { return _mm256_min_ps(a, b); }
  /// The lowest value of all lanes; there is no NaN.
  template <int kVectors> static EVTOK_FORMULA float lowest(const Vector (&s)[kVectors]) {
    Vector least = s[0];
    for (int v = 1; v < kVectors; ++v) least = min(least, s[v]);
    __m128 half = _mm_min_ps(_mm256_castps256_ps128(least), _mm256_extractf128_ps(least, 1));
    half = _mm_min_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_min_ss(half, _mm_movehdup_ps(half)));
  }
  template <int kVectors> static EVTOK_FORMULA bool any_within(const Vector (&s)[kVectors], Vector limit) {
    Vector any = zero();
    for (const Vector& value : s) any = _mm256_or_ps(any, _mm256_cmp_ps(value, limit, _CMP_LE_OQ));
    return _mm256_movemask_ps(any) != 0;
  }
  /// Bit by bit, where a value of `s` is at or below the limit.
  template <int kVectors> static EVTOK_FORMULA uint32_t within(const Vector (&s)[kVectors], Vector limit) {
    uint32_t mask = 0;
    for (int v = 0; v < kVectors; ++v)
      mask |= static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(s[v], limit, _CMP_LE_OQ)))
              << (v * width);
    return mask;
  }
  /// True where a value of `s` beats the threshold; NaN on either side counts as beating.
  template <bool kLarger, int kVectors>
  static EVTOK_FORMULA bool any_beats(const Vector (&s)[kVectors], Vector threshold) {
    Vector any = zero();
    for (const Vector& value : s)
      any = _mm256_or_ps(any, _mm256_cmp_ps(value, threshold, kLarger ? _CMP_NLE_UQ : _CMP_NGE_UQ));
    return _mm256_movemask_ps(any) != 0;
  }
};

struct Avx2F64 {
  using Value = double;
  using Vector = __m256d;
  using Index = __m256i;  // a whole number in each lane
  using IndexValue = int64_t;
  static constexpr int width = 4, tile_rows = 4, tile_vectors = 2, row_vectors = 4;
  static EVTOK_FORMULA Vector zero() { return _mm256_setzero_pd(); }
  static EVTOK_FORMULA Index index(int32_t i) { return _mm256_set1_epi64x(i); }
  static EVTOK_FORMULA void store_index(IndexValue* p, Index i) {
    _mm256_storeu_si256(reinterpret_cast<Index*>(p), i);
  }
  /// `chosen` where a < b.
  static EVTOK_FORMULA Index where_less(Vector a, Vector b, Index chosen, Index otherwise) {
    const Vector less = _mm256_cmp_pd(a, b, _CMP_LT_OQ);
    return _mm256_blendv_epi8(otherwise, chosen, _mm256_castpd_si256(less));
  }
  static EVTOK_FORMULA Vector all(double x) { return _mm256_set1_pd(x); }
  static EVTOK_FORMULA Vector load(const double* p) { return _mm256_loadu_pd(p); }
  static EVTOK_FORMULA void store(double* p, Vector a) { _mm256_storeu_pd(p, a); }
  static EVTOK_FORMULA Vector sub(Vector a, Vector b) { return _mm256_sub_pd(a, b); }
  static EVTOK_FORMULA Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_pd(a, b, c); }
  static EVTOK_FORMULA Vector max(Vector a, Vector b) { return _mm256_max_pd(a, b); }
  static EVTOK_FORMULA Vector min(Vector a, Vector b) { return _mm256_min_pd(a, b); }
  /// The lowest value of all lanes; there is no NaN.
  template <int kVectors> static EVTOK_FORMULA double lowest(const Vector (&s)[kVectors]) {
    Vector least = s[0];
    for (int v = 1; v < kVectors; ++v) least = min(least, s[v]);
    const __m128d half = _mm_min_pd(_mm256_castpd256_pd128(least), _mm256_extractf128_pd(least, 1));
    return _mm_cvtsd_f64(_mm_min_sd(half, _mm_unpackhi_pd(half, half)));
  }
  template <int kVectors> static EVTOK_FORMULA bool any_within(const Vector (&s)[kVectors], Vector limit) {
    Vector any = zero();
    for (const Vector& value : s) any = _mm256_or_pd(any, _mm256_cmp_pd(value, limit, _CMP_LE_OQ));
    return _mm256_movemask_pd(any) != 0;
  }
  /// Bit by bit, where a value of `s` is at or below the limit.
  template <int kVectors> static EVTOK_FORMULA uint32_t within(const Vector (&s)[kVectors], Vector limit) {
    uint32_t mask = 0;
    for (int v = 0; v < kVectors; ++v)
      mask |= static_cast<uint32_t>(_mm256_movemask_pd(_mm256_cmp_pd(s[v], limit, _CMP_LE_OQ)))
              << (v * width);
    return mask;
  }
  template <bool kLarger, int kVectors>
  static EVTOK_FORMULA bool any_beats(const Vector (&s)[kVectors], Vector threshold) {
    Vector any = zero();
    for (const Vector& value : s)
      any = _mm256_or_pd(any, _mm256_cmp_pd(value, threshold, kLarger ? _CMP_NLE_UQ : _CMP_NGE_UQ));
    return _mm256_movemask_pd(any) != 0;
  }
};

}  // namespace
}  // namespace evtok
