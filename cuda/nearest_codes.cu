// A codebook, prepared on the device: panels of 32 codes, the largest magnitude, codes of length 1.
#include "launch.cuh"
#include "nearest_row.cuh"

namespace evtok::cuda {
namespace {

constexpr int kThreads = 256, kPanel = 32;

// Numbers without a sign are in the order of their bits, with infinity above all.
__device__ __forceinline__ void raise_to(float* place, float size) {
  atomicMax(reinterpret_cast<unsigned*>(place), __float_as_uint(size));
}
__device__ __forceinline__ void raise_to(double* place, double size) {
  atomicMax(reinterpret_cast<unsigned long long*>(place),
            static_cast<unsigned long long>(__double_as_longlong(size)));
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    prepare_kernel(const T* codes, int64_t n_codes, int64_t n_dims, T* panels, T* largest) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads, n_panels = (n_codes + kPanel - 1) / kPanel;
  T most = 0;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < n_panels * n_dims * kPanel;
       i += step) {
    const int64_t lane = i % kPanel, j = i / kPanel % n_dims, code = i / kPanel / n_dims * kPanel + lane;
    const T value = code < n_codes ? codes[code * n_dims + j] : T(0);
    if (panels != nullptr) panels[i] = value;
    const T size = is_finite(value) ? magnitude(value) : Limits<T>::infinity;
    most = size > most ? size : most;
  }
  if (most > 0) raise_to(largest, most);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    normalise_kernel(const T* codes, int64_t n_codes, int64_t n_dims, T* normalised, Status* faults) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t k = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; k < n_codes; k += step) {
    const T* code = codes + k * n_dims;
    double square = 0;
    for (int64_t j = 0; j < n_dims; ++j)
      square = __builtin_fma(static_cast<double>(code[j]), static_cast<double>(code[j]), square);
    const double norm = sqrt(square);
    const bool has_direction = norm > 0 && is_finite(norm);
    if (!has_direction) report(faults, k);
    for (int64_t j = 0; j < n_dims; ++j)
      normalised[k * n_dims + j] =
          static_cast<T>(has_direction ? static_cast<double>(code[j]) / norm : __builtin_nan(""));
  }
}

}  // namespace

template <class T>
cudaError_t prepare_codes(const T* codes, int64_t n_codes, int64_t n_dims, T* panels, T* largest,
                          cudaStream_t stream) {
  const cudaError_t error = cudaMemsetAsync(largest, 0, sizeof(T), stream);
  if (error != cudaSuccess) return error;
  return launch(prepare_kernel<T>, blocks_for(n_codes * n_dims, kThreads), kThreads, 0, stream, codes,
                n_codes, n_dims, panels, largest);
}

template <class T>
cudaError_t normalise_codes(const T* codes, int64_t n_codes, int64_t n_dims, T* normalised, Status* faults,
                            cudaStream_t stream) {
  return launch(normalise_kernel<T>, blocks_for(n_codes, kThreads), kThreads, 0, stream, codes, n_codes,
                n_dims, normalised, faults);
}

template cudaError_t prepare_codes<float>(const float*, int64_t, int64_t, float*, float*, cudaStream_t);
template cudaError_t prepare_codes<double>(const double*, int64_t, int64_t, double*, double*, cudaStream_t);
template cudaError_t normalise_codes<float>(const float*, int64_t, int64_t, float*, Status*, cudaStream_t);
template cudaError_t normalise_codes<double>(const double*, int64_t, int64_t, double*, Status*, cudaStream_t);

}  // namespace evtok::cuda
