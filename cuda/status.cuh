// What a kernel tells about bad rows: how many there are and the first of them. A kernel never traps: a
// device assert would spoil the context of the whole process.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace evtok::cuda {

/// Lies on the device, two int64 of an array of the caller; read by the host when it wants to know.
struct Status {
  unsigned long long count;  // 0 at first
  unsigned long long first;  // all ones at first: as a signed number -1
};

/// Queues the writing of n_statuses fresh statuses.
inline cudaError_t clear(Status* statuses, int64_t n_statuses, cudaStream_t stream) {
  for (int64_t i = 0; i < n_statuses; ++i) {
    const cudaError_t zero = cudaMemsetAsync(&statuses[i].count, 0, sizeof(statuses[i].count), stream);
    if (zero != cudaSuccess) return zero;
    const cudaError_t ones = cudaMemsetAsync(&statuses[i].first, 0xFF, sizeof(statuses[i].first), stream);
    if (ones != cudaSuccess) return ones;
  }
  return cudaSuccess;
}

#if defined(__CUDACC__) || defined(EVTOK_CUDA_EMULATED)  // not in bindings, which the host's compiler makes
/// Called by the threads that found something, in any order; the result is the same.
__device__ __forceinline__ void report(Status* status, int64_t row) {
  atomicAdd(&status->count, 1ULL);
  atomicMin(&status->first, static_cast<unsigned long long>(row));
}
#endif

}  // namespace evtok::cuda
