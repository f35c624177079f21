#include "bins.cuh"

namespace evtok::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 4096;  // fills every GPU of today; each thread strides over the rest

template <class T>
__global__ void accumulate(const T* __restrict__ x, int64_t n, BinTable<T> table, bool fresh,
                           int32_t* __restrict__ accumulator) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += step) {
    const int32_t contribution = bin_contribution(x[i], table);
    accumulator[i] = fresh ? contribution : add_contribution(accumulator[i], contribution);
  }
}

}  // namespace

template <class T>
cudaError_t accumulate_bins(const T* x, int64_t n, const BinTable<T>& table, bool fresh, int32_t* accumulator,
                            cudaStream_t stream) {
  if (n <= 0) return cudaSuccess;
  const int64_t wanted = (n + kThreads - 1) / kThreads;
  const auto blocks = static_cast<unsigned>(wanted < kMaxBlocks ? wanted : kMaxBlocks);
  accumulate<T><<<blocks, kThreads, 0, stream>>>(x, n, table, fresh, accumulator);
  return cudaGetLastError();
}

template cudaError_t accumulate_bins<float>(const float*, int64_t, const BinTable<float>&, bool, int32_t*,
                                            cudaStream_t);
template cudaError_t accumulate_bins<double>(const double*, int64_t, const BinTable<double>&, bool, int32_t*,
                                             cudaStream_t);

}  // namespace evtok::cuda
