// Ids of objects to ragged sequences on the GPU: tokenize.hpp of the CPU.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace evtok::cuda {

inline constexpr int32_t kMostEventTokens = 32;
inline constexpr int64_t kLongEvent =
    256;  // more objects than this are ordered by a block, in scratch memory
inline constexpr int64_t kEventsOfABlock = 1024;  // of the prefix sum

/// EventToken of tokenize.hpp; `ids` is memory of the device.
struct EventToken {
  int32_t id;
  const int32_t* ids;  // (n_events,), or null for the constant
};

/// SequencePlan of tokenize.hpp. It travels to the kernel as an argument.
struct SequencePlan {
  EventToken around[kMostEventTokens];  // before the objects, then after them
  int32_t n_before, n_after;
  const float* sort32;   // (n_objects,), or null
  const double* sort64;  // the same
  int64_t max_objects;
};

/// Where the sequence of each event begins: out_offsets (n_events + 1,) of events at offsets (n_events + 1,).
/// partial (blocks + 1,) is scratch, for blocks of kEventsOfABlock events; truncated (2,) gets how many
/// events, and objects, are cut.
cudaError_t sequence_offsets(const int64_t* offsets, int64_t n_events, int64_t width,
                             const SequencePlan& plan, int64_t* partial, int64_t* out_offsets,
                             unsigned long long* truncated, cudaStream_t stream);

/// Writes the sequences to out: ids (n_objects * width,) of the objects as they lie, and what is around them.
/// `longest` is the number of objects of the largest event; order (2 * n_objects,) is scratch, needed where
/// objects are sorted and longest > kLongEvent.
template <class Out>
cudaError_t sequences(const Out* ids, const int64_t* offsets, int64_t n_events, int64_t n_objects,
                      int64_t width, int64_t longest, const SequencePlan& plan, const int64_t* out_offsets,
                      int32_t* order, Out* out, cudaStream_t stream);
extern template cudaError_t sequences<int32_t>(const int32_t*, const int64_t*, int64_t, int64_t, int64_t,
                                               int64_t, const SequencePlan&, const int64_t*, int32_t*,
                                               int32_t*, cudaStream_t);
extern template cudaError_t sequences<uint16_t>(const uint16_t*, const int64_t*, int64_t, int64_t, int64_t,
                                                int64_t, const SequencePlan&, const int64_t*, int32_t*,
                                                uint16_t*, cudaStream_t);

}  // namespace evtok::cuda
