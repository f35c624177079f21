// Vector lanes of AVX2. Included by files compiled for it alone; in an anonymous namespace, so that nothing
// of it reaches another file at link time.
#pragma once

#include <immintrin.h>

#include "evtok/numerics.hpp"

namespace evtok {
namespace {

struct Avx2F32 {
  using Value = float;
  using Vector = __m256;
  static constexpr int width = 8, tile_rows = 4, tile_vectors = 2, row_vectors = 4;
  static EVTOK_FORMULA Vector zero() { return _mm256_setzero_ps(); }
  static EVTOK_FORMULA Vector all(float x) { return _mm256_set1_ps(x); }
  static EVTOK_FORMULA Vector load(const float* p) { return _mm256_loadu_ps(p); }
  static EVTOK_FORMULA void store(float* p, Vector a) { _mm256_storeu_ps(p, a); }
  static EVTOK_FORMULA Vector sub(Vector a, Vector b) { return _mm256_sub_ps(a, b); }
  static EVTOK_FORMULA Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
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
  static constexpr int width = 4, tile_rows = 4, tile_vectors = 2, row_vectors = 4;
  static EVTOK_FORMULA Vector zero() { return _mm256_setzero_pd(); }
  static EVTOK_FORMULA Vector all(double x) { return _mm256_set1_pd(x); }
  static EVTOK_FORMULA Vector load(const double* p) { return _mm256_loadu_pd(p); }
  static EVTOK_FORMULA void store(double* p, Vector a) { _mm256_storeu_pd(p, a); }
  static EVTOK_FORMULA Vector sub(Vector a, Vector b) { return _mm256_sub_pd(a, b); }
  static EVTOK_FORMULA Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_pd(a, b, c); }
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
