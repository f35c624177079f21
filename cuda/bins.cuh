// Bin search on the GPU: the codes of cpp/include/evtok/bins.hpp, bit for bit, by the same formula.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "evtok/bins.hpp"

namespace evtok::cuda {

/// AccumulateBins for memory of the current device. x (n,) and accumulator (n,) int32 are contiguous;
/// table.edges lies on the device too, table itself on the host; the vector layout of the table is not used.
/// Returns as soon as the kernel is queued on `stream`; the memory must live until the stream has passed it.
template <class T>
cudaError_t accumulate_bins(const T* x, int64_t n, const BinTable<T>& table, bool fresh, int32_t* accumulator,
                            cudaStream_t stream);
extern template cudaError_t accumulate_bins<float>(const float*, int64_t, const BinTable<float>&, bool,
                                                   int32_t*, cudaStream_t);
extern template cudaError_t accumulate_bins<double>(const double*, int64_t, const BinTable<double>&, bool,
                                                    int32_t*, cudaStream_t);

}  // namespace evtok::cuda
