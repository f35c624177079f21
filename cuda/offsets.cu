#include "offsets.cuh"

#include "launch.cuh"

namespace evtok::cuda {
namespace {

constexpr int kThreads = 256;

template <class I>
__global__ void __launch_bounds__(kThreads)
    check_kernel(const I* x, int64_t n_events, int64_t content, int64_t limit, int64_t* checked,
                 OffsetsSummary* summary) {
  const int64_t begin = static_cast<int64_t>(x[0]), end = static_cast<int64_t>(x[n_events]);
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  int64_t longest = 0;
  bool fault = false;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i <= n_events; i += step) {
    const int64_t own = static_cast<int64_t>(x[i]);
    // Differences in uint64: hostile offsets must not overflow.
    checked[i] = static_cast<int64_t>(static_cast<uint64_t>(own) - static_cast<uint64_t>(begin));
    if (i == n_events) continue;
    const int64_t next = static_cast<int64_t>(x[i + 1]);
    const uint64_t multiplicity = static_cast<uint64_t>(next) - static_cast<uint64_t>(own);
    fault = fault || next < own || multiplicity > static_cast<uint64_t>(limit);
    if (static_cast<int64_t>(multiplicity) > longest) longest = static_cast<int64_t>(multiplicity);
  }
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    summary->begin = begin;
    summary->end = end;
    fault = fault || begin < 0 || end > content;
  }
  for (int by = 16; by > 0; by /= 2) {
    const int64_t other = __shfl_xor_sync(0xFFFFFFFFu, longest, by);
    longest = other > longest ? other : longest;
  }
  const bool any = __any_sync(0xFFFFFFFFu, fault) != 0;
  if (threadIdx.x % 32 != 0) return;
  atomicMax(reinterpret_cast<unsigned long long*>(&summary->longest),
            static_cast<unsigned long long>(longest));
  if (any) atomicAdd(reinterpret_cast<unsigned long long*>(&summary->faults), 1ULL);
}

template <class I>
__global__ void __launch_bounds__(kThreads)
    narrow_kernel(const I* codes, int64_t n, int32_t n_types, uint8_t* narrow, Status* status) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += step) {
    const I code = codes[i];
    narrow[i] = static_cast<uint8_t>(code);
    if (static_cast<int64_t>(code) < 0 || static_cast<int64_t>(code) >= n_types) report(status, i);
  }
}

}  // namespace

template <class I>
cudaError_t check_offsets(const I* x, int64_t n_events, int64_t content, int64_t max_per_event,
                          int64_t* checked, OffsetsSummary* summary, cudaStream_t stream) {
  const cudaError_t error = cudaMemsetAsync(summary, 0, sizeof *summary, stream);
  if (error != cudaSuccess) return error;
  const int64_t limit = max_per_event < 0 ? 0 : max_per_event;
  return launch(check_kernel<I>, blocks_for(n_events + 1, kThreads), kThreads, 0, stream, x, n_events,
                content, limit, checked, summary);
}

template <class I>
cudaError_t narrow_codes(const I* codes, int64_t n, int32_t n_types, uint8_t* narrow, Status* status,
                         cudaStream_t stream) {
  if (n <= 0) return cudaSuccess;
  return launch(narrow_kernel<I>, blocks_for(n, kThreads), kThreads, 0, stream, codes, n, n_types, narrow,
                status);
}

template cudaError_t check_offsets<int32_t>(const int32_t*, int64_t, int64_t, int64_t, int64_t*,
                                            OffsetsSummary*, cudaStream_t);
template cudaError_t check_offsets<uint32_t>(const uint32_t*, int64_t, int64_t, int64_t, int64_t*,
                                             OffsetsSummary*, cudaStream_t);
template cudaError_t check_offsets<int64_t>(const int64_t*, int64_t, int64_t, int64_t, int64_t*,
                                            OffsetsSummary*, cudaStream_t);
template cudaError_t narrow_codes<uint8_t>(const uint8_t*, int64_t, int32_t, uint8_t*, Status*, cudaStream_t);
template cudaError_t narrow_codes<int32_t>(const int32_t*, int64_t, int32_t, uint8_t*, Status*, cudaStream_t);
template cudaError_t narrow_codes<int64_t>(const int64_t*, int64_t, int32_t, uint8_t*, Status*, cudaStream_t);

}  // namespace evtok::cuda
