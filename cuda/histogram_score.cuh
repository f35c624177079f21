// Scores by the histograms of components on the GPU: the contract, and the bits, of
// cpp/include/evtok/histogram_score.hpp.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "status.cuh"

namespace evtok::cuda {

/// The histograms of D components, on the device. Component j has the edges ends[j - 1] to ends[j] - 1 of all
/// (0 on for j = 0), and one value more than edges: from ends[j - 1] + j on.
struct Histograms {
  const float* edges;
  const float* values;
  const int64_t* ends;  // (n_dims,)
};

/// Every row of x (n, n_dims), n_dims at least 1, to out (n,); `status` (fresh) counts the invalid ones.
cudaError_t histogram_score(const Histograms& histograms, const float* x, int64_t n, int64_t n_dims,
                            Status* status, float* out, cudaStream_t stream);

}  // namespace evtok::cuda
