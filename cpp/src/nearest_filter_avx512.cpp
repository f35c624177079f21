// The filter of nearest code with AVX-512: 32 products of 16-bit integers an instruction.
#include "evtok/filter_lanes_avx512.hpp"

namespace evtok {
namespace {

struct Int32Lanes : Avx512Int32 {
  static EVTOK_FORMULA Vector add_products(Vector sum, Vector a, Vector b) {
    return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b));
  }
};

}  // namespace

void filter_minima_avx512(const FilterView& codes, const int16_t* x, int64_t n_rows, int64_t stride,
                          int32_t* minima) {
  filter_minima<Int32Lanes>(codes, x, n_rows, stride, minima);
}

int32_t filter_smallest_avx512(const int32_t* minima, int64_t n_groups) {
  return filter_smallest<Int32Lanes>(minima, n_groups);
}

int64_t filter_groups_avx512(const int32_t* minima, int64_t n_groups, int32_t threshold, int32_t* groups) {
  return filter_groups<Int32Lanes>(minima, n_groups, threshold, groups);
}

}  // namespace evtok
