// Negative log-likelihood of a target for each row: linear, logsumexp and gather, without the logits in
// memory.
//
// Contract, in float32, for a row h (D,), weights w (V, D), biases b (V,) or 0, and a target t:
//   logit    l[v] = b[v]; for j in 0..D-1: l[v] = fma(h[j], w[v][j], l[v])
//   sum      m = -FLT_MAX; s[0..15] = 0; for each block of kScoreBlock columns v, the last one shorter:
//              next = max(m, the block's l[v]); e[0..15] = 0
//              for v in the block: e[v mod 16] = e[v mod 16] + exp(l[v] - next)
//              s[i] = fma(s[i], exp(m - next), e[i]); m = next
//   reduce   for width in 8, 4, 2, 1: s[i] = s[i] + s[i + width] for i < width
//   result   (m - l[t]) + log(s[0])                                                   in nats, never below 0
// with exp and log of float_functions.hpp. A row of nll_from_logits brings its l.
//
// Nothing hangs on the other rows, so the bits of a row are the same for any batch, number of threads and
// instruction set. A row whose target is to be ignored is not looked at and gives 0. A row is refused, and
// gives NaN, that holds NaN or infinity, or is so large that a logit might overflow: where max |b| + D max
// |h| max |w| is 2^126 or more. Logits that are given may be -infinity, which is a token that cannot come,
// but not all of them nor the target's, whose difference from the largest must not overflow either.
#pragma once

#include <cstdint>

#include "evtok/code_panels.hpp"
#include "evtok/token_nll_block.hpp"

namespace evtok {

/// Rows to score, borrowed.
struct ScoredRows {
  const float* values;     // (n, D) hidden rows, or (n, V) logits, row-major
  const int64_t* targets;  // (n,), each in 0..V-1 or ignored
  int64_t n;
  int64_t ignored;  // the target of rows that are not scored
};

/// The rows that were refused.
struct RefusedRows {
  int64_t count = 0;
  int64_t first = -1;   // index of the first of them
  bool finite = false;  // whether its numbers are: then it is too large, or its target impossible
};

/// Index of the first target that is neither in 0..n_tokens-1 nor `ignored`; -1 if there is none. targets
/// (n,).
int64_t first_wrong_target(const int64_t* targets, int64_t n, int64_t n_tokens, int64_t ignored);

/// The last layer of a model, prepared for scoring: immutable, so any number of threads may use it.
class TokenHead {
public:
  /// Copies weight (n_tokens, n_dims) row-major and bias (n_tokens,) or null. Throws std::invalid_argument
  /// for one that is empty or holds NaN or infinity.
  TokenHead(const float* weight, const float* bias, int64_t n_tokens, int64_t n_dims, int threads);

  /// Writes weight (n_tokens, n_dims) row-major and bias (n_tokens,) as they were given, 0 where there was
  /// none.
  void parameters(float* weight, float* bias) const;

  int64_t n_tokens() const { return n_tokens_; }
  int64_t n_dims() const { return n_dims_; }

  /// Whether rows of numbers up to `largest` are scored; others are refused.
  bool takes(double largest) const;

  /// Writes nll (n,), owned by the caller; targets have been checked.
  RefusedRows nll(const ScoredRows& rows, int threads, float* nll) const;

private:
  int64_t n_tokens_, n_dims_, n_columns_;
  AlignedVector<float> weight_;  // (n_columns / 16, n_dims, 16)
  AlignedVector<float> bias_;    // (n_columns,), -infinity where there is no token
  double largest_weight_ = 0, largest_bias_ = 0;
};

/// The same from logits (n, n_tokens).
RefusedRows nll_from_logits(const ScoredRows& rows, int64_t n_tokens, int threads, float* nll);

}  // namespace evtok
