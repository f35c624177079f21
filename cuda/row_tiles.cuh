// Rows through shared memory: a thread goes along a row of its own, in the order of the components, while the
// block reads whole lines of memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "launch.cuh"

namespace evtok::cuda {

inline constexpr int kTileRows = 128;    // of a block, one for each of its threads
inline constexpr int kTileColumns = 32;  // components that are in shared memory at a time

/// Padded, so that the threads of a warp read from different banks.
struct RowTile {
  float values[kTileRows][kTileColumns + 1];
};

/// Copies columns `from` to `from` + n_columns - 1 of rows x (n, n_dims), row `first` on; all threads call
/// it, and wait for each other before they read.
__device__ __forceinline__ void load_tile(const float* x, int64_t first, int64_t n, int64_t n_dims,
                                          int64_t from, int n_columns, RowTile& tile) {
#pragma unroll 8
  for (int i = static_cast<int>(threadIdx.x); i < kTileRows * kTileColumns; i += kTileRows) {
    const int row = i / kTileColumns, column = i % kTileColumns;
    if (first + row < n && column < n_columns)
      tile.values[row][column] = x[(first + row) * n_dims + from + column];
  }
}

/// Blocks for n rows.
inline unsigned blocks_of_rows(int64_t n) {
  return blocks_for(n, kTileRows, 16);
}

}  // namespace evtok::cuda
