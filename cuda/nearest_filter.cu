// Blocks of 128 rows against tiles of 128 codes: 8 warps, 4 along the rows and 2 along the codes, each with a
// tile of 32 x 64 in registers. Codes come through shared memory, 64 dimensions at a time, copied while the
// block multiplies; rows come from the first cache, where 128 of them stay.
#include "nearest_filter.cuh"

#include "launch.cuh"
#include "matrix_product.cuh"
#include "nearest_warp.cuh"

namespace evtok::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kLanes;
constexpr int kSteps = kFilterDims / 16;               // products of 16 dimensions in a stage
constexpr int kStageWords = kSteps * 16 * kLanes * 2;  // of codes, 16 KiB
constexpr int kRowTiles = 2, kCodeTiles = 8;           // of a warp: 16 rows, 8 codes each

struct Shared {
  uint32_t codes[2][kStageWords];
  int32_t least[kFilterTile];  // the smallest estimate so far, as `ordered`
  int32_t counts[kFilterTile];
};

// Numbers in the order of integers, and back.
EVTOK_FORMULA int32_t ordered(float x) {
  const int32_t bits = __builtin_bit_cast(int32_t, x);
  return bits ^ ((bits >> 31) & 0x7FFFFFFF);
}
EVTOK_FORMULA float number_of(int32_t x) {
  return __builtin_bit_cast(float, x ^ ((x >> 31) & 0x7FFFFFFF));
}

/// nearest_filter.cuh; `norm` is that of fl(x - m) in float32, off by less than 2^-11 but for underflow.
EVTOK_FORMULA float slack_of(float norm, float longest, int64_t n_dims) {
  const double dims = static_cast<double>(n_dims), n = static_cast<double>(longest);
  const double y = static_cast<double>(norm) * (1 + 0x1p-10) + 0x1p-60 * dims;
  const double b = 0x1p-8 * (1 + 0x1p-14), g = (dims + 16) * 0x1p-21, u = 0x1p-24;
  const double error = (2 * b + b * b + 1.01 * g) * y * n + 2 * u * (n * n / 2 + 1.02 * y * n) +
                       (dims + 16) * 0x1p-120 * (1 + y + n);
  const double eta = (dims + 2) * u * (1 + (dims + 2) * u), kappa = 2 * eta / (1 - eta);
  const double slack = 2 * error + kappa * (2 * error + y * y / 2 + n * n + 2 * y * n);
  return static_cast<float>((slack + 0x1p-20 * (n * n + 2 * y * n + slack)) * (1 + 0x1p-20));
}

/// A warp for 16 rows: their pairs of bfloat16 in the order of A, and their slack.
__global__ void __launch_bounds__(kThreads)
    rows_kernel(RowsView<float> rows, int64_t begin, int64_t n, int64_t n_dims, int64_t dims, bool dot,
                FilterTables tables, FilterScratch scratch, int64_t n_tiles) {
  const int lane = lane_of_thread(), g = lane / 4, t = lane % 4;
  const int64_t steps = dims / 16;
  const float longest = *tables.longest;
  for (int64_t tile = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kLanes; tile < n_tiles;
       tile += static_cast<int64_t>(gridDim.x) * kWarps) {
    float square[2] = {0, 0};
    const auto offset = [&](int half, int64_t j) {
      const int64_t row = tile * 16 + g + 8 * half;
      if (row >= n || j >= n_dims) return 0.0F;
      const float y = rows.x[(begin + row) * n_dims + j] - tables.centre[j];
      square[half] = __builtin_fmaf(y, y, square[half]);
      return y;
    };
    for (int64_t step = 0; step < steps; ++step) {
      uint32_t* pairs = scratch.rows + (((tile / 8 * steps + step) * 8 + tile % 8) * kLanes + lane) * 4;
      for (int i = 0; i < 4; ++i) {
        const int64_t j = step * 16 + 2 * t + i / 2 * 8;
        const float first = offset(i % 2, j), second = offset(i % 2, j + 1);
        pairs[i] = pair_of(to_bfloat16(first), to_bfloat16(second));
      }
    }
    for (int half = 0; half < 2; ++half) {
      square[half] += __shfl_xor_sync(kWarp, square[half], 1);
      square[half] += __shfl_xor_sync(kWarp, square[half], 2);
      const int64_t row = tile * 16 + g + 8 * half;
      if (t != 0 || row >= n) continue;
      const float norm = sqrtf(square[half]);
      const bool masked = rows.mask != nullptr && rows.mask[begin + row] == 0;
      const bool covered = !masked && norm < 0x1p60F && is_finite(longest) && !(dot && norm == 0);
      scratch.slack[row] = covered ? slack_of(norm, longest, n_dims) : Limits<float>::infinity;
    }
  }
}

/// Begins to copy a stage of codes; `stage` counts stages of all tiles.
__device__ __forceinline__ void copy_stage(const uint32_t* codes, int64_t stage, int64_t n_stages,
                                           Shared* shared) {
  if (stage < n_stages)
    for (int i = static_cast<int>(threadIdx.x) * 4; i < kStageWords; i += kThreads * 4)
      copy_later(&shared->codes[stage % 2][i], codes + stage * kStageWords + i);
  commit_copies();
}

/// Lists the codes of this thread that are near enough. acc[row tile][code tile] as C of matrix_product.cuh.
__device__ __forceinline__ void gather(float (&acc)[kRowTiles][kCodeTiles][4], const float* bias,
                                       int64_t first_code, int first_row, int64_t row_of_block, int64_t n,
                                       const FilterScratch& scratch, Shared* shared) {
  const int lane = lane_of_thread(), g = lane / 4, t = lane % 4;
  float least[kRowTiles][2];
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r) {
    least[r][0] = least[r][1] = Limits<float>::infinity;
#pragma unroll
    for (int c = 0; c < kCodeTiles; ++c)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float& e = acc[r][c][i];
        e = bias[first_code + c * 8 + 2 * t + i % 2] - e;
        least[r][i / 2] = fminf(least[r][i / 2], e);
      }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float smallest = least[r][half];
      smallest = fminf(smallest, __shfl_xor_sync(kWarp, smallest, 1));
      smallest = fminf(smallest, __shfl_xor_sync(kWarp, smallest, 2));
      if (t == 0) atomicMin(&shared->least[first_row + r * 16 + g + 8 * half], ordered(smallest));
    }
  }
  __syncthreads();
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int place = first_row + r * 16 + g + 8 * half;
      const int64_t row = row_of_block + place;
      if (row >= n) continue;
      const float slack = scratch.slack[row];
      const float threshold = number_of(shared->least[place]) + slack;
      if (!is_finite(slack) || !(least[r][half] <= threshold)) continue;
#pragma unroll
      for (int c = 0; c < kCodeTiles; ++c)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const float e = acc[r][c][2 * half + i];
          if (!(e <= threshold)) continue;
          const int32_t entry = atomicAdd(&shared->counts[place], 1);
          if (entry < kFilterCandidates)
            scratch.lists[row * kFilterCandidates + entry] =
                make_float2(e, __int_as_float(static_cast<int32_t>(first_code + c * 8 + 2 * t + i)));
        }
    }
}

__global__ void __launch_bounds__(kThreads, 2)
    filter_kernel(int64_t n, int64_t dims, int64_t code_tiles, FilterTables tables, FilterScratch scratch) {
  Shared* shared = dynamic_shared<Shared>();
  const int thread = static_cast<int>(threadIdx.x), lane = lane_of_thread(), warp = thread / kLanes;
  const int64_t steps = dims / 16, stages = dims / kFilterDims, n_stages = code_tiles * stages;
  const int64_t row_tiles = (n + kFilterTile - 1) / kFilterTile;
  for (int64_t block = blockIdx.x; block < row_tiles; block += gridDim.x) {
    if (thread < kFilterTile) {
      shared->least[thread] = 0x7FFFFFFF;
      shared->counts[thread] = 0;
    }
    copy_stage(tables.codes, 0, n_stages, shared);
    for (int64_t tile = 0; tile < code_tiles; ++tile) {
      float acc[kRowTiles][kCodeTiles][4] = {};
      for (int64_t part = 0; part < stages; ++part) {
        const int64_t stage = tile * stages + part;
        copy_stage(tables.codes, stage + 1, n_stages, shared);
        wait_for_copies<1>();
        __syncthreads();
#pragma unroll
        for (int step = 0; step < kSteps; ++step) {
          uint32_t a[kRowTiles][4];
#pragma unroll
          for (int r = 0; r < kRowTiles; ++r) {
            const int64_t place = (block * steps + part * kSteps + step) * 8 + warp / 2 * kRowTiles + r;
            const uint4 words = reinterpret_cast<const uint4*>(scratch.rows)[place * kLanes + lane];
            a[r][0] = words.x;
            a[r][1] = words.y;
            a[r][2] = words.z;
            a[r][3] = words.w;
          }
#pragma unroll
          for (int c = 0; c < kCodeTiles; ++c) {
            const int place = (step * 16 + warp % 2 * kCodeTiles + c) * kLanes + lane;
            const uint2 words = reinterpret_cast<const uint2*>(shared->codes[stage % 2])[place];
            const uint32_t b[2] = {words.x, words.y};
#pragma unroll
            for (int r = 0; r < kRowTiles; ++r) multiply_add(acc[r][c], a[r], b);
          }
        }
        __syncthreads();
      }
      gather(acc, tables.bias, tile * kFilterTile + warp % 2 * kCodeTiles * 8, warp / 2 * kRowTiles * 16,
             block * kFilterTile, n, scratch, shared);
    }
    __syncthreads();
    const int64_t row = block * kFilterTile + thread;
    if (thread < kFilterTile && row < n) {
      scratch.counts[row] = shared->counts[thread];
      scratch.minima[row] = number_of(shared->least[thread]);
    }
    __syncthreads();
  }
}

/// A thread for a row: the specification among its candidates. Rows that have none, or too many, are left to
/// search_kernel by a count of -1.
__global__ void __launch_bounds__(kThreads)
    decide_kernel(RowsView<float> rows, int64_t begin, int64_t n, NearestCodes<float> codes,
                  FilterScratch scratch, Neighbours<float> out) {
  const bool dot = codes.metric != Metric::l2;
  const int64_t n_dims = codes.n_dims, step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; row < n; row += step) {
    const int32_t count = scratch.counts[row];
    const float slack = scratch.slack[row], threshold = scratch.minima[row] + slack;
    if (!is_finite(slack) || count < 1 || count > kFilterCandidates) {
      scratch.counts[row] = -1;
      continue;
    }
    const float2* list = scratch.lists + row * kFilterCandidates;
    int32_t left = 0, best_id = kNoId;
    for (int32_t i = 0; i < count; ++i)
      if (list[i].x <= threshold) {
        ++left;
        best_id = __float_as_int(list[i].y);
      }
    float best = dot ? farthest<float, true>() : farthest<float, false>();
    if (left != 1 || out.values != nullptr) {
      best_id = kNoId;
      const float* x = rows.x + (begin + row) * n_dims;
      for (int32_t i = 0; i < count; ++i) {
        if (!(list[i].x <= threshold)) continue;
        const int32_t id = __float_as_int(list[i].y);
        const float* code = codes.codes + id * n_dims;
        const float value =
            dot ? chain_value<float, true>(x, code, n_dims) : chain_value<float, false>(x, code, n_dims);
        if (dot ? before<float, true>(value, id, best, best_id)
                : before<float, false>(value, id, best, best_id)) {
          best = value;
          best_id = id;
        }
      }
    }
    out.ids[begin + row] = best_id;
    if (out.values != nullptr) out.values[begin + row] = best;
  }
}

/// All codes, by a warp, for the rows that are left.
template <bool kDot>
__global__ void __launch_bounds__(kThreads)
    search_kernel(RowsView<float> rows, int64_t begin, int64_t n, NearestCodes<float> codes,
                  FilterScratch scratch, Neighbours<float> out, Status* faults) {
  const int64_t n_dims = codes.n_dims, step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t first = (static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kLanes) * kLanes; first < n;
       first += step) {
    const int64_t own = first + lane_of_thread();
    unsigned left = __ballot_sync(kWarp, own < n && scratch.counts[own] == -1);
    for (; left != 0; left &= left - 1) {
      const int64_t row = begin + first + __ffs(static_cast<int>(left)) - 1;
      if (!admit(rows, row, codes, out, faults)) continue;
      const float* x = rows.x + row * n_dims;
      WarpBest<float, kDot> found;
      found.begin(1);
      for (int64_t panel = 0; panel * kLanes < codes.n_codes; ++panel) {
        const float* code = codes.panels + panel * n_dims * kLanes + lane_of_thread();
        float s = 0;
        for (int64_t j = 0; j < n_dims; ++j) s = chain_step<float, kDot>(x[j], code[j * kLanes], s);
        const int64_t id = panel * kLanes + lane_of_thread();
        found.offer(id < codes.n_codes ? s : farthest<float, kDot>(),
                    id < codes.n_codes ? static_cast<int32_t>(id) : kNoId);
      }
      write(found, row, 0, codes.n_codes, out, faults);
    }
  }
}

}  // namespace

cudaError_t nearest_filter(const RowsView<float>& rows, const NearestCodes<float>& codes,
                           const FilterTables& tables, const FilterScratch& scratch, int64_t scratch_rows,
                           const Neighbours<float>& out, Status* faults, cudaStream_t stream) {
  if (out.k != 1 || out.margin != nullptr || codes.n_dims > kFilterMostDims || scratch_rows < kFilterTile ||
      scratch_rows % kFilterTile != 0)
    return cudaErrorInvalidValue;
  const FilterSizes sizes(codes.n_codes, codes.n_dims);
  const bool dot = codes.metric != Metric::l2;
  for (int64_t begin = 0; begin < rows.n; begin += scratch_rows) {
    const int64_t n = rows.n - begin < scratch_rows ? rows.n - begin : scratch_rows;
    const int64_t tiles = (n + kFilterTile - 1) / kFilterTile;
    cudaError_t error = launch(rows_kernel, blocks_for(tiles * 8, kWarps), kThreads, 0, stream, rows, begin,
                               n, codes.n_dims, sizes.dims, dot, tables, scratch, tiles * 8);
    if (error == cudaSuccess)
      error = launch(filter_kernel, blocks_for(tiles, 1, 2), kThreads, sizeof(Shared), stream, n, sizes.dims,
                     sizes.tiles, tables, scratch);
    if (error == cudaSuccess)
      error = launch(decide_kernel, blocks_for(n, kThreads), kThreads, 0, stream, rows, begin, n, codes,
                     scratch, out);
    if (error == cudaSuccess)
      error = launch(dot ? search_kernel<true> : search_kernel<false>, blocks_for(n, kThreads), kThreads, 0,
                     stream, rows, begin, n, codes, scratch, out, faults);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace evtok::cuda
