// Squared Mahalanobis distances to the nearest class on the GPU: the contract, and the bits, of
// cpp/include/evtok/class_distances.hpp.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "evtok/class_distances.hpp"
#include "status.cuh"

namespace evtok::cuda {

/// Every row of x (n, n_dims) to scores (n,) and, unless null, to the class in nearest (n,); `status` (fresh)
/// counts the invalid ones. The arrays of `classes` are on the device.
cudaError_t class_distances(const Classes& classes, const float* x, int64_t n, Status* status, float* scores,
                            int32_t* nearest, cudaStream_t stream);

}  // namespace evtok::cuda
