// Negative log-likelihood of a target for each row on the GPU: linear, logsumexp and gather, without the
// logits in memory (cpp/include/evtok/token_nll.hpp is the CPU's).
//
// Contract. A logit is what the tensor cores give: products of bfloat16 parts, added in float32 in an order
// of theirs. bfloat16 is taken as it is; float32 as high + low parts, of which the product low x low is left
// out: 2^-16 of sum |h| |w| at most, beside about D 2^-24 of it for the additions. exp and log are those of
// log_sum.cuh and float_functions.hpp. The result agrees with float64 to 1e-4 for logits of ordinary size.
// The bits of a row hang on the row, its target, the weights and the kind of GPU alone: how the tokens are
// shared out follows from their number, never from the number of rows.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "evtok/numerics.hpp"
#include "status.cuh"

namespace evtok::cuda {

inline constexpr int kTokensOfTile = 128;  // tokens whose logits are made together
inline constexpr int kTilesOfPart = 16;    // tiles that one block goes through
inline constexpr int kDepthOfStep = 32;    // components that are in shared memory at a time

enum class Scalar : int32_t { float32 = 0, bfloat16 = 1 };

/// The weights of a head as the kernel reads them, on the device.
struct PackedHead {
  const uint16_t*
      weight;         // (n_tiles, planes, n_steps, kTokensOfTile, kDepthOfStep) bfloat16, zeros as padding
  const float* bias;  // (n_tiles * kTokensOfTile,), -infinity where there is no token
  const uint32_t* largest;  // (2,): bits of the largest |weight| and |bias|; those of NaN if there is one
  int64_t n_tokens, n_dims;
  int32_t planes;  // 1 of bfloat16, 2 of float32: high and low parts
};

EVTOK_HD constexpr int64_t tiles_of(int64_t n_tokens) {
  return (n_tokens + kTokensOfTile - 1) / kTokensOfTile;
}
EVTOK_HD constexpr int64_t steps_of(int64_t n_dims) {
  return (n_dims + kDepthOfStep - 1) / kDepthOfStep;
}
EVTOK_HD constexpr int64_t parts_of(int64_t n_tokens) {
  return (tiles_of(n_tokens) + kTilesOfPart - 1) / kTilesOfPart;
}
EVTOK_HD constexpr int32_t planes_of(Scalar scalar) {
  return scalar == Scalar::float32 ? 2 : 1;
}
inline constexpr int64_t kMostDims = 1024;

/// Fills the arrays of `head`, of the sizes above, from weight (n_tokens, n_dims) row-major of `scalar` and
/// bias (n_tokens,) float32 or null.
cudaError_t pack_head(const void* weight, Scalar scalar, const float* bias, int64_t n_tokens, int64_t n_dims,
                      uint16_t* packed_weight, float* packed_bias, uint32_t* largest, cudaStream_t stream);

/// Rows to score, on the device.
struct NllRows {
  const void* values;  // (n, n_dims) hidden rows or (n, n_tokens) logits, row-major
  Scalar scalar;
  const int64_t* targets;  // (n,)
  int64_t n;
  int64_t ignored;  // the target of rows that are not scored and given 0
};

/// Why rows were given NaN: statuses[...].
enum NllFault : int32_t {
  kNotFinite = 0,    // holds NaN or infinity (or the weights do)
  kTooLarge = 1,     // logits might overflow, or the target is impossible
  kWrongTarget = 2,  // a target that is no token
};
inline constexpr int kNllFaults = 3;

/// Writes nll (n,). parts (n, parts_of(n_tokens), 2) and target_logits (n,) are memory to work in, statuses
/// (kNllFaults,) are fresh. n_dims is at most kMostDims.
cudaError_t token_nll(const PackedHead& head, const NllRows& rows, float* parts, float* target_logits,
                      Status* statuses, float* nll, cudaStream_t stream);

/// The same from logits (n, n_tokens), of which -infinity is one of a token that cannot come.
cudaError_t nll_from_logits(const NllRows& rows, int64_t n_tokens, Status* statuses, float* nll,
                            cudaStream_t stream);

}  // namespace evtok::cuda
