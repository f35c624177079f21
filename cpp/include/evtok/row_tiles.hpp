// Turns rows into lanes, so that a vector holds one component of several rows.
#pragma once

#include <cstdint>

namespace evtok {

/// n rows of `width` floats, each `stride` floats after the one before, borrowed, to lanes (width, n_lanes)
/// row-major: lanes[j * n_lanes + r] = rows[r * stride + j]. Lanes n to n_lanes - 1 repeat the last row.
/// 1 <= n <= n_lanes, and n_lanes is a multiple of 8.
using RowsToLanes = void (*)(const float* rows, int64_t n, int64_t stride, int64_t width, int64_t n_lanes,
                             float* lanes);

void rows_to_lanes_scalar(const float*, int64_t, int64_t, int64_t, int64_t, float*);
void rows_to_lanes_avx2(const float*, int64_t, int64_t, int64_t, int64_t, float*);

/// The one of active_isa(); to be asked for on the calling thread.
RowsToLanes rows_to_lanes();

}  // namespace evtok
