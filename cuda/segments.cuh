// Reductions over the values of each event on the GPU: the contract, and the bits, of
// cpp/include/evtok/segments.hpp.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "evtok/segments.hpp"
#include "status.cuh"

namespace evtok::cuda {

/// What is wrong, and where: statuses[...].
enum SegmentFault : int32_t {
  kInvalidEvent = 0,  // an event, given NaN
  kUnknownType = 1,   // a value whose type has no weight; its event is given NaN
  kBadOffsets = 2,    // an event that does not lie within the values; given NaN
};
inline constexpr int kSegmentFaults = 3;

/// Every event of `events`, with weights from the first value on, to out (n_events,).
/// Offsets are checked here: nothing outside of the values is read. statuses (kSegmentFaults,) are fresh.
template <class T>
cudaError_t reduce_segments(const Segments<T>& events, int64_t n_events, const TypeWeights<T>& types,
                            const SegmentRule& rule, Status* statuses, T* out, cudaStream_t stream);
extern template cudaError_t reduce_segments<float>(const Segments<float>&, int64_t, const TypeWeights<float>&,
                                                   const SegmentRule&, Status*, float*, cudaStream_t);
extern template cudaError_t reduce_segments<double>(const Segments<double>&, int64_t,
                                                    const TypeWeights<double>&, const SegmentRule&, Status*,
                                                    double*, cudaStream_t);

}  // namespace evtok::cuda
