// logsumexp as it goes along: what a thread keeps of the logits that it has seen, and how two parts are
// joined.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "evtok/float_functions.hpp"

namespace evtok::cuda {

/// e^x for x <= 0, in 9 operations, of numbers that will be added to one of 1: exactly 1 at 0, within 5e-7 of
/// the result down to -20 and 2e-6 below; from -87 down the result of -87, which float32 does not notice
/// beside 1. (exponential of float_functions.hpp, which takes all numbers, needs 20.) 2^f by a polynomial
/// that leaves out less than 1e-7; no instruction that approximates.
__device__ __forceinline__ float small_exponential(float x) {
  x = x > -87.0F ? x : -87.0F;
  const float shifted = __builtin_fmaf(x, kFloatLog2E, kFloatMagic);
  const float n = shifted - kFloatMagic;
  const float f = __builtin_fmaf(x, kFloatLog2E, -n);
  float p = 0x1.5bba14p-10F;
  p = __builtin_fmaf(p, f, 0x1.3cea88p-7F);
  p = __builtin_fmaf(p, f, 0x1.c6b752p-5F);
  p = __builtin_fmaf(p, f, 0x1.ebf9bcp-3F);
  p = __builtin_fmaf(p, f, 0x1.62e42ap-1F);
  p = __builtin_fmaf(p, f, 1.0F);
  const uint32_t whole = __builtin_bit_cast(uint32_t, shifted) << 23;  // the magic number's bits fall out
  return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, p) + whole);
}

/// The largest of some logits and the sum of exp(logit - largest), at least 1 if there were any.
struct LogSum {
  float largest = -0x1.fffffep+127F;
  float sum = 0;
};

/// Takes kN logits in; those of -infinity count for nothing.
template <int kN> __device__ __forceinline__ void add(LogSum& state, const float (&logits)[kN]) {
  float next = state.largest;
#pragma unroll
  for (int i = 0; i < kN; ++i) next = logits[i] > next ? logits[i] : next;
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kN; ++i) sum += small_exponential(logits[i] - next);
  state.sum = __builtin_fmaf(state.sum, small_exponential(state.largest - next), sum);
  state.largest = next;
}

/// Both together. joined(a, b) has the bits of joined(b, a).
__device__ __forceinline__ LogSum joined(const LogSum& a, const LogSum& b) {
  const float largest = a.largest > b.largest ? a.largest : b.largest;
  const float of_a = a.sum * small_exponential(a.largest - largest);
  const float of_b = b.sum * small_exponential(b.largest - largest);
  return {largest, of_a + of_b};
}

/// -log of the probability of a logit among them, 0 or above.
__device__ __forceinline__ float negative_log(const LogSum& all, float logit) {
  return (all.largest - logit) + logarithm(all.sum);
}

}  // namespace evtok::cuda
