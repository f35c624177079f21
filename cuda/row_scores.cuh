// Squared distances, sums of squares and largest logits of rows on the GPU: the contract, and the bits, of
// cpp/include/evtok/row_scores.hpp.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "evtok/row_scores.hpp"
#include "status.cuh"

namespace evtok::cuda {

/// Every row of x (n, n_dims), n_dims at least 1, to out (n,); `status` (fresh) counts the invalid ones.
cudaError_t score_rows(const RowScoreRule& rule, const float* x, int64_t n, int64_t n_dims, Status* status,
                       float* out, cudaStream_t stream);

}  // namespace evtok::cuda
