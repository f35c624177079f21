// One neighbour of few dimensions, many rows: a thread keeps kRows rows in registers, and all codes pass by
// in tiles of shared memory, read as 16 bytes by all threads at once.
//
// Instructions of a pair: D differences, D fused multiply-adds, 1 minimum over the 8 codes of a group, and of
// the group 1 comparison and 2 selections, 1 / kRows reads: 9.5 for D = 4, of which the minimum is not on the
// arithmetic units. So 3 D flops a pair come at 3 * 4 / (2 * 9.5) = 63 % of a peak that counts 2 flops an
// instruction; 75 % is the limit of this formula. The minimum alone is kept with its group: the code is found
// again afterwards as the first of its group with that value.
//
// Rows and codes are padded with 0 and -0 to the next size in the list below. That changes no bit: for l2 a
// coordinate adds fma(0, 0, s), and s is never -0; for dot it adds fma(0, -0, p) = p, whatever its sign.
#include "launch.cuh"
#include "nearest_row.cuh"

namespace evtok::cuda {
namespace {

constexpr int kThreads = 128, kGroup = 8, kTileCodes = 256;

template <class T, int kDims> struct Shape {
  static constexpr int chunk = 16 / static_cast<int>(sizeof(T));     // numbers of one read
  static constexpr int width = (kDims + chunk - 1) / chunk * chunk;  // of a code in shared memory
  static constexpr int rows = sizeof(T) == 4 ? (kDims <= 4 ? 8 : 4) : (kDims <= 4 ? 4 : 2);  // of a thread
};
template <class T, int kChunk> struct alignas(16) Chunk {
  T values[kChunk];
};

/// The nearer value; of NaN, which stands for no code, the other.
template <bool kDot> EVTOK_FORMULA float nearer(float a, float b) {
  return kDot ? fmaxf(a, b) : fminf(a, b);
}
template <bool kDot> EVTOK_FORMULA double nearer(double a, double b) {
  return kDot ? fmax(a, b) : fmin(a, b);
}

/// Codes [first, first + kTileCodes) to shared memory, as many groups as hold a code; NaN behind the last.
template <class T, int kDims>
__device__ __forceinline__ int fill(const NearestCodes<T>& codes, int64_t first, T* tile) {
  constexpr int kWidth = Shape<T, kDims>::width;
  const int n_dims = static_cast<int>(codes.n_dims);
  const int64_t left = codes.n_codes - first;
  const int n = static_cast<int>(left < kTileCodes ? left : kTileCodes), groups = (n + kGroup - 1) / kGroup;
  for (int i = static_cast<int>(threadIdx.x); i < groups * kGroup * kWidth; i += kThreads) {
    const int code = i / kWidth, j = i % kWidth;
    T value = static_cast<T>(__builtin_nan(""));
    if (code < n) value = j < n_dims ? codes.codes[(first + code) * n_dims + j] : -T(0);
    tile[i] = value;
  }
  return groups;
}

template <class T, int kDims, bool kDot>
__device__ __forceinline__ RowFault fault_of_row(const T (&x)[kDims], const NearestCodes<T>& codes) {
  bool finite = true, suspicious;
  T largest = 0;
  for (const T value : x) {
    const T size = magnitude(value);
    finite = finite && is_finite(size);
    largest = size > largest ? size : largest;
  }
  const RowFault fault = fault_of(finite, largest, codes, &suspicious);
  if (!suspicious) return fault;
  for (int64_t k = 0; k < codes.n_codes; ++k) {
    T p = 0;
    for (int j = 0; j < kDims; ++j)
      if (j < codes.n_dims) p = chain_step<T, kDot>(x[j], codes.codes[k * codes.n_dims + j], p);
    if (!is_finite(p)) return RowFault::overflow;
  }
  return fault;
}

template <class T, int kDims, bool kDot>
__global__ void __launch_bounds__(kThreads)
    tile_kernel(RowsView<T> rows, NearestCodes<T> codes, Neighbours<T> out, Status* faults) {
  using S = Shape<T, kDims>;
  T* tile = dynamic_shared<T>();
  const int64_t n_dims = codes.n_dims, of_block = int64_t{kThreads} * S::rows;
  for (int64_t first = blockIdx.x * of_block; first < rows.n; first += gridDim.x * of_block) {
    T x[S::rows][kDims], best[S::rows];
    int32_t group[S::rows];
#pragma unroll
    for (int r = 0; r < S::rows; ++r) {
      const int64_t row = first + r * kThreads + threadIdx.x;
#pragma unroll
      for (int j = 0; j < kDims; ++j) x[r][j] = row < rows.n && j < n_dims ? rows.x[row * n_dims + j] : T(0);
      best[r] = farthest<T, kDot>();
      group[r] = -1;
    }
    for (int64_t begin = 0; begin < codes.n_codes; begin += kTileCodes) {
      __syncthreads();
      const int groups = fill<T, kDims>(codes, begin, tile);
      __syncthreads();
      for (int g = 0; g < groups; ++g) {
        T nearest[S::rows];
#pragma unroll
        for (int c = 0; c < kGroup; ++c) {
          Chunk<T, S::chunk> code[S::width / S::chunk];
#pragma unroll
          for (int i = 0; i < S::width / S::chunk; ++i)
            code[i] = reinterpret_cast<const Chunk<T, S::chunk>*>(tile + (g * kGroup + c) * S::width)[i];
#pragma unroll
          for (int r = 0; r < S::rows; ++r) {
            T s = 0;
#pragma unroll
            for (int j = 0; j < kDims; ++j)
              s = chain_step<T, kDot>(x[r][j], code[j / S::chunk].values[j % S::chunk], s);
            nearest[r] = c == 0 ? s : nearer<kDot>(nearest[r], s);
          }
        }
        const int32_t number = static_cast<int32_t>(begin / kGroup) + g;
#pragma unroll
        for (int r = 0; r < S::rows; ++r) {
          const bool better = is_nearer<T, kDot>(nearest[r], best[r]);
          best[r] = better ? nearest[r] : best[r];
          group[r] = better ? number : group[r];
        }
      }
    }
#pragma unroll
    for (int r = 0; r < S::rows; ++r) {
      const int64_t row = first + r * kThreads + threadIdx.x;
      if (row >= rows.n) continue;
      RowFault fault = RowFault::masked;
      if (rows.mask == nullptr || rows.mask[row] != 0) fault = fault_of_row<T, kDims, kDot>(x[r], codes);
      if (fault == RowFault::none && group[r] < 0) fault = RowFault::overflow;
      if (fault != RowFault::none) {
        refuse(out, row, fault, faults, 0, 1);
        continue;
      }
      for (int64_t k = int64_t{group[r]} * kGroup; k < codes.n_codes; ++k) {
        T s = 0;
#pragma unroll
        for (int j = 0; j < kDims; ++j)
          if (j < n_dims) s = chain_step<T, kDot>(x[r][j], codes.codes[k * n_dims + j], s);
        if (s != best[r]) continue;
        out.ids[row] = static_cast<int32_t>(k);
        if (out.values != nullptr) out.values[row] = s;
        break;
      }
    }
  }
}

template <class T, int kDims>
cudaError_t run(const RowsView<T>& rows, const NearestCodes<T>& codes, const Neighbours<T>& out,
                Status* faults, cudaStream_t stream) {
  using S = Shape<T, kDims>;
  const auto kernel = codes.metric == Metric::l2 ? tile_kernel<T, kDims, false> : tile_kernel<T, kDims, true>;
  return launch(kernel, blocks_for(rows.n, int64_t{kThreads} * S::rows, 32), kThreads,
                sizeof(T) * kTileCodes * S::width, stream, rows, codes, out, faults);
}

}  // namespace

template <>
cudaError_t nearest_tile<float>(const RowsView<float>& rows, const NearestCodes<float>& codes,
                                const Neighbours<float>& out, Status* faults, cudaStream_t stream) {
  const int64_t n_dims = codes.n_dims;
  const auto of_dims = n_dims <= 1    ? run<float, 1>
                       : n_dims <= 2  ? run<float, 2>
                       : n_dims <= 3  ? run<float, 3>
                       : n_dims <= 4  ? run<float, 4>
                       : n_dims <= 6  ? run<float, 6>
                       : n_dims <= 8  ? run<float, 8>
                       : n_dims <= 12 ? run<float, 12>
                                      : run<float, 16>;
  return of_dims(rows, codes, out, faults, stream);
}

template <>
cudaError_t nearest_tile<double>(const RowsView<double>& rows, const NearestCodes<double>& codes,
                                 const Neighbours<double>& out, Status* faults, cudaStream_t stream) {
  const auto of_dims = codes.n_dims <= 4   ? run<double, 4>
                       : codes.n_dims <= 8 ? run<double, 8>
                                           : run<double, 16>;
  return of_dims(rows, codes, out, faults, stream);
}

}  // namespace evtok::cuda
