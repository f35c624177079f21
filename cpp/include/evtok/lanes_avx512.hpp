// Vector lanes of AVX-512. Included by files compiled for it alone; in an anonymous namespace, so that
// nothing of it reaches another file at link time.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "evtok/numerics.hpp"

namespace evtok {
namespace {

struct Avx512F32 {
  using Value = float;
  using Vector = __m512;
  using Index = __m512i;  // a whole number in each lane
  using IndexValue = int32_t;
  static constexpr int width = 16, tile_rows = 8, tile_vectors = 2, row_vectors = 2;
  static EVTOK_FORMULA Vector zero() { return _mm512_setzero_ps(); }
  static EVTOK_FORMULA Index index(int32_t i) { return _mm512_set1_epi32(i); }
  static EVTOK_FORMULA void store_index(IndexValue* p, Index i) { _mm512_storeu_si512(p, i); }
  static EVTOK_FORMULA Index load_index(const IndexValue* p) { return _mm512_loadu_si512(p); }
  /// `chosen` where a < b.
  static EVTOK_FORMULA Index where_less(Vector a, Vector b, Index chosen, Index otherwise) {
    return _mm512_mask_mov_epi32(otherwise, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), chosen);
  }
  static EVTOK_FORMULA Vector all(float x) { return _mm512_set1_ps(x); }
  static EVTOK_FORMULA Vector load(const float* p) { return _mm512_loadu_ps(p); }
  static EVTOK_FORMULA void store(float* p, Vector a) { _mm512_storeu_ps(p, a); }
  static EVTOK_FORMULA Vector sub(Vector a, Vector b) { return _mm512_sub_ps(a, b); }
  static EVTOK_FORMULA Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  static EVTOK_FORMULA Vector max(Vector a, Vector b) { return _mm512_max_ps(a, b); }
  static EVTOK_FORMULA Vector min(Vector a, Vector b) { return _mm512_min_ps(a, b); }
  /// The lowest value of all lanes; there is no NaN.
  template <int kVectors> static EVTOK_FORMULA float lowest(const Vector (&s)[kVectors]) {
    Vector least = s[0];
    for (int v = 1; v < kVectors; ++v) least = min(least, s[v]);
    return _mm512_reduce_min_ps(least);
  }
  template <int kVectors> static EVTOK_FORMULA bool any_within(const Vector (&s)[kVectors], Vector limit) {
    return within(s, limit) != 0;
  }
  /// Bit by bit, where a value of `s` is at or below the limit.
  template <int kVectors> static EVTOK_FORMULA uint32_t within(const Vector (&s)[kVectors], Vector limit) {
    uint32_t mask = 0;
    for (int v = 0; v < kVectors; ++v)
      mask |= static_cast<uint32_t>(_mm512_cmp_ps_mask(s[v], limit, _CMP_LE_OQ)) << (v * width);
    return mask;
  }
  /// True where a value of `s` beats the threshold; NaN on either side counts as beating.
  template <bool kLarger, int kVectors>
  static EVTOK_FORMULA bool any_beats(const Vector (&s)[kVectors], Vector threshold) {
    __mmask16 any = 0;
    for (const Vector& value : s)
      any = static_cast<__mmask16>(any |
                                   _mm512_cmp_ps_mask(value, threshold, kLarger ? _CMP_NLE_UQ : _CMP_NGE_UQ));
    return any != 0;
  }
};

struct Avx512F64 {
  using Value = double;
  using Vector = __m512d;
  using Index = __m512i;  // a whole number in each lane
  using IndexValue = int64_t;
  static constexpr int width = 8, tile_rows = 8, tile_vectors = 2, row_vectors = 4;
  static EVTOK_FORMULA Vector zero() { return _mm512_setzero_pd(); }
  static EVTOK_FORMULA Index index(int32_t i) { return _mm512_set1_epi64(i); }
  static EVTOK_FORMULA void store_index(IndexValue* p, Index i) { _mm512_storeu_si512(p, i); }
  /// `chosen` where a < b.
  static EVTOK_FORMULA Index where_less(Vector a, Vector b, Index chosen, Index otherwise) {
    return _mm512_mask_mov_epi64(otherwise, _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ), chosen);
  }
  static EVTOK_FORMULA Vector all(double x) { return _mm512_set1_pd(x); }
  static EVTOK_FORMULA Vector load(const double* p) { return _mm512_loadu_pd(p); }
  static EVTOK_FORMULA void store(double* p, Vector a) { _mm512_storeu_pd(p, a); }
  static EVTOK_FORMULA Vector sub(Vector a, Vector b) { return _mm512_sub_pd(a, b); }
  static EVTOK_FORMULA Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_pd(a, b, c); }
  static EVTOK_FORMULA Vector max(Vector a, Vector b) { return _mm512_max_pd(a, b); }
  static EVTOK_FORMULA Vector min(Vector a, Vector b) { return _mm512_min_pd(a, b); }
  /// The lowest value of all lanes; there is no NaN.
  template <int kVectors> static EVTOK_FORMULA double lowest(const Vector (&s)[kVectors]) {
    Vector least = s[0];
    for (int v = 1; v < kVectors; ++v) least = min(least, s[v]);
    return _mm512_reduce_min_pd(least);
  }
  template <int kVectors> static EVTOK_FORMULA bool any_within(const Vector (&s)[kVectors], Vector limit) {
    return within(s, limit) != 0;
  }
  /// Bit by bit, where a value of `s` is at or below the limit.
  template <int kVectors> static EVTOK_FORMULA uint32_t within(const Vector (&s)[kVectors], Vector limit) {
    uint32_t mask = 0;
    for (int v = 0; v < kVectors; ++v)
      mask |= static_cast<uint32_t>(_mm512_cmp_pd_mask(s[v], limit, _CMP_LE_OQ)) << (v * width);
    return mask;
  }
  template <bool kLarger, int kVectors>
  static EVTOK_FORMULA bool any_beats(const Vector (&s)[kVectors], Vector threshold) {
    __mmask8 any = 0;
    for (const Vector& value : s)
      any = static_cast<__mmask8>(any |
                                  _mm512_cmp_pd_mask(value, threshold, kLarger ? _CMP_NLE_UQ : _CMP_NGE_UQ));
    return any != 0;
  }
};

}  // namespace
}  // namespace evtok
