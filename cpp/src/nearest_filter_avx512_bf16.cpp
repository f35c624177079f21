// The filter of nearest code with AVX-512 VNNI, which every CPU with AVX512-BF16 has: products and sum in one
// instruction.
#include "evtok/filter_lanes_avx512.hpp"

namespace evtok {
namespace {

struct Int32Lanes : Avx512Int32 {
  static EVTOK_FORMULA Vector add_products(Vector sum, Vector a, Vector b) {
    return _mm512_dpwssd_epi32(sum, a, b);
  }
};

}  // namespace

void filter_minima_avx512_bf16(const FilterView& codes, const int16_t* x, int64_t n_rows, int64_t stride,
                               int32_t* minima) {
  filter_minima<Int32Lanes>(codes, x, n_rows, stride, minima);
}

}  // namespace evtok
