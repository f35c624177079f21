// The filter of nearest code with AVX2: 16 products of 16-bit integers an instruction.
#include <immintrin.h>

#include "evtok/nearest_filter_scan.hpp"

namespace evtok {
namespace {

struct Int32Lanes {
  using Vector = __m256i;
  static constexpr int width = 8, tile_rows = 4, tile_vectors = 2;
  static EVTOK_FORMULA Vector all(int32_t x) { return _mm256_set1_epi32(x); }
  static EVTOK_FORMULA Vector load(const int32_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const Vector*>(p));
  }
  static EVTOK_FORMULA void store(int32_t* p, Vector a) {
    _mm256_storeu_si256(reinterpret_cast<Vector*>(p), a);
  }
  static EVTOK_FORMULA Vector load_pairs(const int16_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const Vector*>(p));
  }
  static EVTOK_FORMULA Vector all_pairs(const int16_t* p) {
    int32_t pair;
    __builtin_memcpy(&pair, p, sizeof pair);
    return _mm256_set1_epi32(pair);
  }
  static EVTOK_FORMULA Vector add_products(Vector sum, Vector a, Vector b) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
  }
  static EVTOK_FORMULA Vector min(Vector a, Vector b) { return _mm256_min_epi32(a, b); }
  static EVTOK_FORMULA int32_t smallest_lane(Vector a) {
    __m128i half = _mm_min_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    half = _mm_min_epi32(half, _mm_shuffle_epi32(half, 0x4E));
    half = _mm_min_epi32(half, _mm_shuffle_epi32(half, 0xB1));
    return _mm_cvtsi128_si32(half);
  }
  static EVTOK_FORMULA bool any_within(Vector a, Vector limit) {
    return _mm256_movemask_epi8(_mm256_cmpgt_epi32(a, limit)) != -1;
  }
};

}  // namespace

void filter_minima_avx2(const FilterView& codes, const int16_t* x, int64_t n_rows, int64_t stride,
                        int32_t* minima) {
  filter_minima<Int32Lanes>(codes, x, n_rows, stride, minima);
}

int32_t filter_smallest_avx2(const int32_t* minima, int64_t n_groups) {
  return filter_smallest<Int32Lanes>(minima, n_groups);
}

int64_t filter_groups_avx2(const int32_t* minima, int64_t n_groups, int32_t threshold, int32_t* groups) {
  return filter_groups<Int32Lanes>(minima, n_groups, threshold, groups);
}

}  // namespace evtok
