// A thread goes along a row, in the order of the contract; rows pass through shared memory (row_tiles.cuh).
// Four bytes a component are read once: the speed of memory where there are some ten thousand rows.
#include "row_scores.cuh"

#include "launch.cuh"
#include "row_tiles.cuh"

namespace evtok::cuda {
namespace {

template <RowScore kScore> __device__ __forceinline__ float taken(float s, float x, float y) {
  if (kScore == RowScore::negative_largest) return s != s || x <= s ? s : x;  // once s is NaN it stays so
  const float t = kScore == RowScore::squared_distance ? x - y : x;
  return __builtin_fmaf(t, t, s);
}

template <RowScore kScore>
__global__ void __launch_bounds__(kTileRows)
    score_kernel(RowScoreRule rule, const float* x, int64_t n, int64_t n_dims, Status* status, float* out) {
  RowTile* tiles = dynamic_shared<RowTile>();
  constexpr bool kOther = kScore == RowScore::squared_distance;
  const bool own = kOther && rule.other_stride != 0;  // each row has a y of its own
  const int row = static_cast<int>(threadIdx.x);
  const int64_t step = static_cast<int64_t>(gridDim.x) * kTileRows;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * kTileRows; first < n; first += step) {
    float s = kScore == RowScore::negative_largest ? -__builtin_inff() : 0.0F;
    for (int64_t from = 0; from < n_dims; from += kTileColumns) {
      const int width = static_cast<int>(n_dims - from < kTileColumns ? n_dims - from : kTileColumns);
      __syncthreads();  // the tile before has been read
      load_tile(x, first, n, n_dims, from, width, tiles[0]);
      if (own) load_tile(rule.other, first, n, n_dims, from, width, tiles[1]);
      __syncthreads();
      if (first + row >= n) continue;
      for (int j = 0; j < width; ++j) {
        const float y = !kOther ? 0.0F : own ? tiles[1].values[row][j] : rule.other[from + j];
        s = taken<kScore>(s, tiles[0].values[row][j], y);
      }
    }
    if (first + row >= n) continue;
    if (kScore == RowScore::negative_largest) s = 0.0F - s;
    if (rule.mean) s /= static_cast<float>(n_dims);
    const bool valid = s - s == 0;
    out[first + row] = valid ? s : __builtin_nanf("");
    if (!valid) report(status, first + row);
  }
}

}  // namespace

cudaError_t score_rows(const RowScoreRule& rule, const float* x, int64_t n, int64_t n_dims, Status* status,
                       float* out, cudaStream_t stream) {
  if (n <= 0) return cudaSuccess;
  const auto kernel = rule.score == RowScore::squared_distance ? score_kernel<RowScore::squared_distance>
                      : rule.score == RowScore::squared_sum    ? score_kernel<RowScore::squared_sum>
                                                               : score_kernel<RowScore::negative_largest>;
  const bool own = rule.score == RowScore::squared_distance && rule.other_stride != 0;
  return launch(kernel, blocks_of_rows(n), kTileRows, (own ? 2 : 1) * sizeof(RowTile), stream, rule, x, n,
                n_dims, status, out);
}

}  // namespace evtok::cuda
