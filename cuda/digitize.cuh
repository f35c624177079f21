// numpy.digitize for increasing edges on the GPU: the codes of cpp/include/evtok/bins.hpp, by the same
// formula.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace evtok::cuda {

/// digitize.hpp for memory of the current device: x (n,) contiguous, edges (n_edges,) increasing, of the
/// dtype of x, codes (n,) int64, written. Returns as soon as the kernel is queued on `stream`; the memory
/// must live until the stream has passed it.
template <class T>
cudaError_t digitize(const T* x, int64_t n, const T* edges, int32_t n_edges, bool right, bool falling,
                     int64_t* codes, cudaStream_t stream);
extern template cudaError_t digitize<float>(const float*, int64_t, const float*, int32_t, bool, bool,
                                            int64_t*, cudaStream_t);
extern template cudaError_t digitize<double>(const double*, int64_t, const double*, int32_t, bool, bool,
                                             int64_t*, cudaStream_t);

}  // namespace evtok::cuda
