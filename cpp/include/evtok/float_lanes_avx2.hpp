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
