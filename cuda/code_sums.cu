// A thread for each number of the result: it adds the rows of its code one after the other, as the CPU does,
// and threads of neighbouring coordinates read neighbouring numbers. Rows were sorted by code before.
#include "code_sums.cuh"

#include "launch.cuh"

namespace evtok::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kAtOnce = 8;  // reads that are under way together; they do not wait for the sum

template <class T>
__global__ void __launch_bounds__(kThreads)
    sums_kernel(const T* x, int64_t n_dims, const int64_t* order, const int64_t* starts, int64_t n_codes,
                double* sums) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < n_codes * n_dims;
       i += step) {
    const int64_t code = i / n_dims, j = i % n_dims, end = starts[code + 1];
    double sum = 0;
    int64_t place = starts[code];
    for (; place + kAtOnce <= end; place += kAtOnce) {
      T values[kAtOnce];
#pragma unroll
      for (int a = 0; a < kAtOnce; ++a) values[a] = x[order[place + a] * n_dims + j];
#pragma unroll
      for (int a = 0; a < kAtOnce; ++a) sum += static_cast<double>(values[a]);
    }
    for (; place < end; ++place) sum += static_cast<double>(x[order[place] * n_dims + j]);
    sums[i] = sum;
  }
}

}  // namespace

template <class T>
cudaError_t code_sums(const T* x, int64_t n_dims, const int64_t* order, const int64_t* starts,
                      int64_t n_codes, double* sums, cudaStream_t stream) {
  if (n_codes * n_dims <= 0) return cudaSuccess;
  return launch(sums_kernel<T>, blocks_for(n_codes * n_dims, kThreads), kThreads, 0, stream, x, n_dims, order,
                starts, n_codes, sums);
}

template cudaError_t code_sums<float>(const float*, int64_t, const int64_t*, const int64_t*, int64_t, double*,
                                      cudaStream_t);
template cudaError_t code_sums<double>(const double*, int64_t, const int64_t*, const int64_t*, int64_t,
                                       double*, cudaStream_t);

}  // namespace evtok::cuda
