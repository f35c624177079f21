// Checks of ragged structure on the GPU (offsets.hpp of the CPU), and of type codes.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "status.cuh"

namespace evtok::cuda {

/// What the host has to know of events before it can lay out work for them.
struct OffsetsSummary {
  int64_t begin, end;  // the first and the last offset
  int64_t longest;     // the largest multiplicity
  int64_t faults;      // not 0 where check_offsets of the CPU finds a fault
};

/// x (n_events + 1,) on the device: fills *summary, and checked (n_events + 1,) with x - x[0].
template <class I>
cudaError_t check_offsets(const I* x, int64_t n_events, int64_t content, int64_t max_per_event,
                          int64_t* checked, OffsetsSummary* summary, cudaStream_t stream);
extern template cudaError_t check_offsets<int32_t>(const int32_t*, int64_t, int64_t, int64_t, int64_t*,
                                                   OffsetsSummary*, cudaStream_t);
extern template cudaError_t check_offsets<uint32_t>(const uint32_t*, int64_t, int64_t, int64_t, int64_t*,
                                                    OffsetsSummary*, cudaStream_t);
extern template cudaError_t check_offsets<int64_t>(const int64_t*, int64_t, int64_t, int64_t, int64_t*,
                                                   OffsetsSummary*, cudaStream_t);

/// codes (n,) to narrow (n,): reports those that are not from 0 to n_types - 1 in *status, which is fresh.
template <class I>
cudaError_t narrow_codes(const I* codes, int64_t n, int32_t n_types, uint8_t* narrow, Status* status,
                         cudaStream_t stream);
extern template cudaError_t narrow_codes<uint8_t>(const uint8_t*, int64_t, int32_t, uint8_t*, Status*,
                                                  cudaStream_t);
extern template cudaError_t narrow_codes<int32_t>(const int32_t*, int64_t, int32_t, uint8_t*, Status*,
                                                  cudaStream_t);
extern template cudaError_t narrow_codes<int64_t>(const int64_t*, int64_t, int32_t, uint8_t*, Status*,
                                                  cudaStream_t);

}  // namespace evtok::cuda
