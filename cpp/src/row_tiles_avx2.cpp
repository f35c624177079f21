// Rows to lanes with AVX2: squares of eight rows and eight components.
#include "evtok/row_tiles.hpp"
#include "evtok/transpose_avx2.hpp"

namespace evtok {

void rows_to_lanes_avx2(const float* rows, int64_t n, int64_t stride, int64_t width, int64_t n_lanes,
                        float* lanes) {
  for (int64_t r = 0; r < n_lanes; r += 8) {
    const RowPointers<8> eight(rows, r, n, stride);
    __m256 component[8];
    int64_t j = 0;
    for (; j + 8 <= width; j += 8) {
      // The same of the next tile: rows read side by side are more streams than a processor foresees.
      for (const float* row : eight.row) __builtin_prefetch(row + n_lanes * stride + j, 0, 2);
      transpose8(eight.row, j, component);
      for (int q = 0; q < 8; ++q) _mm256_storeu_ps(lanes + (j + q) * n_lanes + r, component[q]);
    }
    if (j == width) continue;
    transpose_rest(eight.row, j, width - j, component);
    for (int q = 0; j + q < width; ++q) _mm256_storeu_ps(lanes + (j + q) * n_lanes + r, component[q]);
  }
}

}  // namespace evtok
