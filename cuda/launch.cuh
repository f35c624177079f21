// Launching kernels, and the memory of a block, the same under nvcc and in an emulated build (emulation/).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

// Of a device function. (Headers of the C++ library spell an attribute of their own as CUDA's word.)
#if defined(EVTOK_CUDA_EMULATED)
#define EVTOK_OUT_OF_LINE __attribute__((noinline))
#else
#define EVTOK_OUT_OF_LINE __noinline__
#endif

namespace evtok::cuda {

/// Shared memory of the block, as many bytes as the launch asked for, aligned to 16. All shared memory is
/// taken so: a kernel lays one struct over it.
template <class T> __device__ __forceinline__ T* dynamic_shared() {
#if defined(EVTOK_CUDA_EMULATED)
  return static_cast<T*>(emulation::shared_memory());
#else
  extern __shared__ __align__(16) unsigned char evtok_dynamic_shared[];
  return reinterpret_cast<T*>(evtok_dynamic_shared);
#endif
}

/// Bytes of shared memory that a block can have on the current device: 227 KiB for sm_90, 163 for sm_80, 99
/// for sm_86 and sm_89; what every device has, where it cannot be asked.
inline size_t most_shared_bytes() {
  int device = 0, bytes = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) != cudaSuccess)
    return 48 * 1024;  // the launch itself will tell what is wrong
  return static_cast<size_t>(bytes);
}

/// Queues kernel<<<grid, block, shared_bytes, stream>>>(arguments...) on the current device.
template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                   cudaStream_t stream, const Arguments&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments));
  if (shared_bytes > 48 * 1024) {  // above it, a kernel has to be allowed it
    // All that there is: another thread that launches the same kernel with less takes nothing away.
    const size_t most = most_shared_bytes();
    if (shared_bytes > most) return cudaErrorInvalidValue;
    const cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(most));
    if (error != cudaSuccess) return error;
  }
#if defined(EVTOK_CUDA_EMULATED)
  static_cast<void>(stream);
  emulation::run_grid(grid, block, shared_bytes, [&] { kernel(arguments...); });
#else
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<Parameters>(arguments)...);
#endif
  return cudaGetLastError();
}

/// Blocks for `items` pieces of work of which a block takes `per_block` at a time: all of them, or enough to
/// fill every multiprocessor of the current device `waves` times, whichever is less; kernels stride over the
/// rest. At least 1.
inline unsigned blocks_for(int64_t items, int64_t per_block, int waves = 8) {
  int device = 0, multiprocessors = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device) != cudaSuccess ||
      multiprocessors < 1)
    multiprocessors = 128;  // the launch itself will tell what is wrong
  const int64_t wanted = (items + per_block - 1) / per_block, most = int64_t{multiprocessors} * waves;
  const int64_t blocks = wanted < most ? wanted : most;
  return static_cast<unsigned>(blocks < 1 ? 1 : blocks);
}

}  // namespace evtok::cuda
