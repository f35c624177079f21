// The steps of an encoder with AVX2: 6 rows x 16 columns in registers.
#include "evtok/encoder_kernels.hpp"
#include "evtok/float_lanes_avx2.hpp"
#include "evtok/transpose_avx2.hpp"

namespace evtok {
namespace {

struct EncoderLanes : Avx2Float {
  /// out (8, 8) = rows (8, 8) transposed, of which the first n_rows are there, or none; 0 for the others.
  static EVTOK_FORMULA void transpose_block(const float* rows, int64_t step, int64_t n_rows, float* out,
                                            int64_t out_step) {
    __m256 columns[8];
    if (n_rows <= 0) {
      for (__m256& column : columns) column = _mm256_setzero_ps();
    } else {
      transpose8(RowPointers<8>(rows, 0, n_rows, step).row, 0, columns);
    }
    const __m256i there = _mm256_cmpgt_epi32(_mm256_set1_epi32(n_rows < 8 ? static_cast<int>(n_rows) : 8),
                                             _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    for (int c = 0; c < 8; ++c)
      store(out + c * out_step, _mm256_and_ps(columns[c], _mm256_castsi256_ps(there)));
  }
};

}  // namespace

EncoderKernels encoder_kernels_avx2() {
  return encoder_kernels_of<EncoderLanes, 6, 1>();
}

}  // namespace evtok
