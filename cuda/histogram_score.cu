// A thread goes along a row; edges and values are read through the caches, which hold those of a few
// components at a time because all rows of a block are at the same one.
#include "histogram_score.cuh"

#include "evtok/bins.hpp"
#include "launch.cuh"
#include "row_tiles.cuh"

namespace evtok::cuda {
namespace {

__global__ void __launch_bounds__(kTileRows)
    histogram_kernel(Histograms histograms, const float* x, int64_t n, int64_t n_dims, Status* status,
                     float* out) {
  RowTile* tile = dynamic_shared<RowTile>();
  const int row = static_cast<int>(threadIdx.x);
  const int64_t step = static_cast<int64_t>(gridDim.x) * kTileRows;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * kTileRows; first < n; first += step) {
    float s = 0.0F;
    for (int64_t from = 0; from < n_dims; from += kTileColumns) {
      const int width = static_cast<int>(n_dims - from < kTileColumns ? n_dims - from : kTileColumns);
      __syncthreads();  // the tile before has been read
      load_tile(x, first, n, n_dims, from, width, *tile);
      __syncthreads();
      if (first + row >= n) continue;
      for (int64_t j = from; j < from + width; ++j) {
        const int64_t begin = j == 0 ? 0 : histograms.ends[j - 1];
        const float value = tile->values[row][j - from];
        const int32_t n_edges = static_cast<int32_t>(histograms.ends[j] - begin);
        const int32_t bin = bin_of(value, histograms.edges + begin, n_edges, false);
        s += value - value == 0 ? histograms.values[begin + j + bin] : __builtin_nanf("");
      }
    }
    if (first + row >= n) continue;
    const bool valid = s - s == 0;
    out[first + row] = valid ? s : __builtin_nanf("");
    if (!valid) report(status, first + row);
  }
}

}  // namespace

cudaError_t histogram_score(const Histograms& histograms, const float* x, int64_t n, int64_t n_dims,
                            Status* status, float* out, cudaStream_t stream) {
  if (n <= 0) return cudaSuccess;
  return launch(histogram_kernel, blocks_of_rows(n), kTileRows, sizeof(RowTile), stream, histograms, x, n,
                n_dims, status, out);
}

}  // namespace evtok::cuda
