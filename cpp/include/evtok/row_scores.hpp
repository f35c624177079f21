// Scores of rows of float32 that need each component once.
//
// Contract, for a row x[0..D-1] and, where there is one, the row y that it is compared with:
//   squared_distance   s = 0; for j in 0..D-1: t = fl(x[j] - y[j]), s = fma(t, t, s)
//   squared_sum        s = 0; for j in 0..D-1: s = fma(x[j], x[j], s)
//   negative_largest   s = fl(0 - the largest x[j]); NaN if some x[j] is
// `mean` divides s by D, rounded once. A row whose s is not finite is invalid and is given NaN. Vector lanes
// run across rows, so the bits of a row depend neither on the other rows nor on the instruction set.
#pragma once

#include <cstdint>

#include "evtok/invalid_rows.hpp"

namespace evtok {

enum class RowScore : int32_t { squared_distance = 0, squared_sum = 1, negative_largest = 2 };
inline constexpr int32_t kRowScores = 3;

/// A plain struct, so that files compiled for one instruction set can use it.
struct RowScoreRule {
  RowScore score;
  const float* other;    // y, borrowed; null where there is none
  int64_t other_stride;  // D where each row has its own y (n, D), 0 where all share one (D,)
  bool mean;
};

/// s of rows x (n, n_dims) row-major to out (n,), without the mean. NaN or infinity where a row is invalid.
using ScoreRows = void (*)(const RowScoreRule& rule, const float* x, int64_t n, int64_t n_dims, float* out);

void score_rows_scalar(const RowScoreRule&, const float*, int64_t, int64_t, float*);
void score_rows_avx2(const RowScoreRule&, const float*, int64_t, int64_t, float*);

/// Every row of x (n, n_dims), n_dims at least 1, to out (n,).
InvalidRows score_rows(const RowScoreRule& rule, const float* x, int64_t n, int64_t n_dims, int threads,
                       float* out);

/// Gives NaN to scores (n,) that are not finite; `first` is the row of scores[0].
InvalidRows mark_invalid(float* scores, int64_t n, int64_t first);
}  // namespace evtok
