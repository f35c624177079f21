// The codebook for the filter: its centre, its codes in the order in which tensor cores take them.
#include "launch.cuh"
#include "matrix_product.cuh"
#include "nearest_filter.cuh"
#include "nearest_warp.cuh"

namespace evtok::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kLanes;

constexpr int64_t kCentreCodes = 256;  // that the centre is the mean of

/// Any finite centre is right; one among the codes leaves small numbers.
__global__ void __launch_bounds__(kThreads)
    centre_kernel(const float* codes, int64_t n_codes, int64_t n_dims, int64_t dims, bool dot, float* centre,
                  float* longest) {
  const int64_t j = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (j == 0) *longest = 0;
  if (j >= dims) return;
  const int64_t step = (n_codes + kCentreCodes - 1) / kCentreCodes, n = (n_codes + step - 1) / step;
  double sum = 0;
  if (!dot && j < n_dims)
    for (int64_t k = 0; k < n_codes; k += step) sum += static_cast<double>(codes[k * n_dims + j]);
  const double mean = sum / static_cast<double>(n);
  centre[j] = is_finite(mean) ? static_cast<float>(mean) : 0.0F;
}

/// A warp for 8 codes: lane (g, t) has pairs of code g.
__global__ void __launch_bounds__(kThreads)
    codes_kernel(const float* codes, int64_t n_codes, int64_t n_dims, int64_t dims, bool dot,
                 FilterTables tables, int64_t n_groups) {
  const int lane = lane_of_thread(), g = lane / 4, t = lane % 4;
  const int64_t steps = dims / 16;
  for (int64_t group = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kLanes; group < n_groups;
       group += static_cast<int64_t>(gridDim.x) * kWarps) {
    const int64_t code = group * 8 + g;
    double square = 0;
    const auto offset = [&](int64_t j) {
      if (code >= n_codes || j >= n_dims) return 0.0F;
      const double d = static_cast<double>(codes[code * n_dims + j]) - static_cast<double>(tables.centre[j]);
      square += d * d;
      return codes[code * n_dims + j] - tables.centre[j];
    };
    for (int64_t step = 0; step < steps; ++step)
      for (int i = 0; i < 2; ++i) {
        const int64_t j = step * 16 + 2 * t + 8 * i;
        const float first = offset(j), second = offset(j + 1);
        tables.codes[(((group / 16 * steps + step) * 16 + group % 16) * kLanes + lane) * 2 + i] =
            pair_of(to_bfloat16(first), to_bfloat16(second));
      }
    square += __shfl_xor_sync(kWarp, square, 1);
    square += __shfl_xor_sync(kWarp, square, 2);
    if (t != 0) continue;
    tables.bias[code] =
        code < n_codes ? (dot ? 0.0F : static_cast<float>(square / 2)) : Limits<float>::infinity;
    const double length = sqrt(square) * (1 + 0x1p-20);
    const float size = length < 0x1p60 ? static_cast<float>(length) : Limits<float>::infinity;
    atomicMax(reinterpret_cast<unsigned*>(tables.longest), __float_as_uint(size));
  }
}

}  // namespace

cudaError_t prepare_filter(const float* codes, int64_t n_codes, int64_t n_dims, bool dot,
                           const FilterTables& tables, cudaStream_t stream) {
  if (n_dims > kFilterMostDims) return cudaErrorInvalidValue;
  const FilterSizes sizes(n_codes, n_dims);
  const cudaError_t error =
      launch(centre_kernel, static_cast<unsigned>((sizes.dims + kThreads - 1) / kThreads), kThreads, 0,
             stream, codes, n_codes, n_dims, sizes.dims, dot, tables.centre, tables.longest);
  if (error != cudaSuccess) return error;
  const int64_t n_groups = sizes.tiles * kFilterTile / 8;
  return launch(codes_kernel, blocks_for(n_groups, kWarps), kThreads, 0, stream, codes, n_codes, n_dims,
                sizes.dims, dot, tables, n_groups);
}

}  // namespace evtok::cuda
