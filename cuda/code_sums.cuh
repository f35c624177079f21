// Counts and sums of the rows of each code on the GPU: the sums of cpp/include/evtok/code_sums.hpp, by bit.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace evtok::cuda {

/// sums (n_codes, n_dims) float64, written: of code k, the rows order[i] of x (n, n_dims), i from starts[k]
/// to starts[k + 1], one after the other. starts (n_codes + 1,). Rows of a code in rising order give the
/// CPU's bits.
template <class T>
cudaError_t code_sums(const T* x, int64_t n_dims, const int64_t* order, const int64_t* starts,
                      int64_t n_codes, double* sums, cudaStream_t stream);

}  // namespace evtok::cuda
