#include "digitize.cuh"

#include "evtok/bins.hpp"
#include "launch.cuh"

namespace evtok::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int32_t kMostShared = 4096;  // edges that are kept in shared memory; more are read from the caches

template <class T>
__global__ void __launch_bounds__(kThreads)
    digitize_kernel(const T* x, int64_t n, const T* edges, int32_t n_edges, bool right, bool falling,
                    int64_t* codes) {
  const T* searched = edges;
  if (n_edges <= kMostShared) {
    T* shared = dynamic_shared<T>();
    for (int32_t i = static_cast<int32_t>(threadIdx.x); i < n_edges; i += kThreads) shared[i] = edges[i];
    __syncthreads();
    searched = shared;
  }
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += step) {
    const int32_t code = bin_of(x[i], searched, n_edges, right);
    codes[i] = falling ? n_edges - code : code;
  }
}

}  // namespace

template <class T>
cudaError_t digitize(const T* x, int64_t n, const T* edges, int32_t n_edges, bool right, bool falling,
                     int64_t* codes, cudaStream_t stream) {
  if (n <= 0) return cudaSuccess;
  const size_t shared_bytes = n_edges <= kMostShared ? static_cast<size_t>(n_edges) * sizeof(T) : 0;
  return launch(digitize_kernel<T>, blocks_for(n, kThreads), kThreads, shared_bytes, stream, x, n, edges,
                n_edges, right, falling, codes);
}

template cudaError_t digitize<float>(const float*, int64_t, const float*, int32_t, bool, bool, int64_t*,
                                     cudaStream_t);
template cudaError_t digitize<double>(const double*, int64_t, const double*, int32_t, bool, bool, int64_t*,
                                      cudaStream_t);

}  // namespace evtok::cuda
