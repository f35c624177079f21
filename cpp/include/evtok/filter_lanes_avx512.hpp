// Integer lanes of AVX-512 for the filter of nearest code; the products differ between its two files.
#pragma once

#include <immintrin.h>

#include "evtok/nearest_filter_scan.hpp"

namespace evtok {
namespace {

struct Avx512Int32 {
  using Vector = __m512i;
  static constexpr int width = 16, tile_rows = 8, tile_vectors = 2;
  static EVTOK_FORMULA Vector all(int32_t x) { return _mm512_set1_epi32(x); }
  static EVTOK_FORMULA Vector load(const int32_t* p) { return _mm512_loadu_si512(p); }
  static EVTOK_FORMULA void store(int32_t* p, Vector a) { _mm512_storeu_si512(p, a); }
  static EVTOK_FORMULA Vector load_pairs(const int16_t* p) { return _mm512_loadu_si512(p); }
  static EVTOK_FORMULA Vector all_pairs(const int16_t* p) {
    int32_t pair;
    __builtin_memcpy(&pair, p, sizeof pair);
    return _mm512_set1_epi32(pair);
  }
  static EVTOK_FORMULA Vector min(Vector a, Vector b) { return _mm512_min_epi32(a, b); }
  static EVTOK_FORMULA int32_t smallest_lane(Vector a) { return _mm512_reduce_min_epi32(a); }
  static EVTOK_FORMULA bool any_within(Vector a, Vector limit) {
    return _mm512_cmp_epi32_mask(a, limit, _MM_CMPINT_LE) != 0;
  }
};

}  // namespace
}  // namespace evtok
