#include "evtok/row_tiles.hpp"

#include <algorithm>

#include "evtok/isa.hpp"

namespace evtok {

void rows_to_lanes_scalar(const float* rows, int64_t n, int64_t stride, int64_t width, int64_t n_lanes,
                          float* lanes) {
  for (int64_t r = 0; r < n_lanes; ++r) {
    const float* row = rows + std::min(r, n - 1) * stride;
    for (int64_t j = 0; j < width; ++j) lanes[j * n_lanes + r] = row[j];
  }
}

RowsToLanes rows_to_lanes() {
#ifdef EVTOK_X86
  if (active_isa() >= Isa::avx2) return rows_to_lanes_avx2;
#endif
  return rows_to_lanes_scalar;
}

}  // namespace evtok
