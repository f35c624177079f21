// What float_functions.hpp needs of the lanes of AVX2. Included by files compiled for it alone; in an
// anonymous namespace, so that nothing of it reaches another file at link time.
#pragma once

#include "evtok/lanes_avx2.hpp"

namespace evtok {
namespace {

struct Avx2Float : Avx2F32 {
  using Whole = __m256i;
  static EVTOK_FORMULA Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
  static EVTOK_FORMULA Vector mul(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  static EVTOK_FORMULA Vector div(Vector a, Vector b) { return _mm256_div_ps(a, b); }
  /// The sum of 16 lanes: for width in 8, 4, 2, 1, lane i + lane i + width.
  static EVTOK_FORMULA float folded(const Vector (&s)[2]) {
    const Vector eight = _mm256_add_ps(s[0], s[1]);
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
  }
  static EVTOK_FORMULA Whole bits(Vector a) { return _mm256_castps_si256(a); }
  static EVTOK_FORMULA Whole whole(int32_t i) { return _mm256_set1_epi32(i); }
  static EVTOK_FORMULA Whole sub_whole(Whole a, Whole b) { return _mm256_sub_epi32(a, b); }
  static EVTOK_FORMULA Whole half(Whole a) { return _mm256_srai_epi32(a, 1); }
  static EVTOK_FORMULA Vector power_of_two(Whole a) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(a, whole(127)), 23));
  }
};

}  // namespace
}  // namespace evtok
