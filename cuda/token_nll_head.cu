// Weights of a head, once for many calls: split into bfloat16 parts and laid out in the order in which
// token_nll.cu reads them, each step one contiguous piece of 8 KiB.
#include "launch.cuh"
#include "matrix_product.cuh"
#include "token_nll.cuh"

namespace evtok::cuda {
namespace {

constexpr int kThreads = 256;

__device__ __forceinline__ float value_at(const void* values, Scalar scalar, int64_t i) {
  return scalar == Scalar::float32 ? static_cast<const float*>(values)[i]
                                   : from_bfloat16(static_cast<const uint16_t*>(values)[i]);
}

// Bits of |x| are ordered as |x| is, and those of NaN come last.
__device__ __forceinline__ uint32_t magnitude(float x) {
  return __float_as_uint(x) & 0x7FFFFFFFU;
}

__global__ void __launch_bounds__(kThreads) pack_weight(const void* weight, Scalar scalar, int64_t n_tokens,
                                                        int64_t n_dims, uint16_t* packed, uint32_t* largest) {
  const int64_t n_steps = steps_of(n_dims), padded = n_steps * kDepthOfStep;
  const int64_t n = tiles_of(n_tokens) * kTokensOfTile * padded;
  const int32_t planes = planes_of(scalar);
  uint32_t most = 0;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += step) {
    const int64_t token = i / padded, dim = i % padded;
    const float w = token < n_tokens && dim < n_dims ? value_at(weight, scalar, token * n_dims + dim) : 0.0F;
    most = magnitude(w) > most ? magnitude(w) : most;
    const SplitFloat parts = split(w);
    for (int32_t plane = 0; plane < planes; ++plane) {
      const int64_t piece = (token / kTokensOfTile * planes + plane) * n_steps + dim / kDepthOfStep;
      packed[(piece * kTokensOfTile + token % kTokensOfTile) * kDepthOfStep + dim % kDepthOfStep] =
          plane == 0 ? parts.high : parts.low;
    }
  }
  if (most != 0) atomicMax(&largest[0], most);
}

__global__ void __launch_bounds__(kThreads)
    pack_bias(const float* bias, int64_t n_tokens, float* packed, uint32_t* largest) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= tiles_of(n_tokens) * kTokensOfTile) return;
  if (i >= n_tokens) {
    packed[i] = -__builtin_inff();
    return;
  }
  packed[i] = bias == nullptr ? 0.0F : bias[i];
  atomicMax(&largest[1], magnitude(packed[i]));
}

}  // namespace

cudaError_t pack_head(const void* weight, Scalar scalar, const float* bias, int64_t n_tokens, int64_t n_dims,
                      uint16_t* packed_weight, float* packed_bias, uint32_t* largest, cudaStream_t stream) {
  const int64_t columns = tiles_of(n_tokens) * kTokensOfTile;
  cudaError_t error = cudaMemsetAsync(largest, 0, 2 * sizeof(uint32_t), stream);
  if (error != cudaSuccess) return error;
  error = launch(pack_weight, blocks_for(columns * steps_of(n_dims) * kDepthOfStep, kThreads), kThreads, 0,
                 stream, weight, scalar, n_tokens, n_dims, packed_weight, largest);
  if (error != cudaSuccess) return error;
  return launch(pack_bias, static_cast<unsigned>((columns + kThreads - 1) / kThreads), kThreads, 0, stream,
                bias, n_tokens, packed_bias, largest);
}

}  // namespace evtok::cuda
