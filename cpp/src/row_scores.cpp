#include "evtok/row_scores.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>

#include "evtok/isa.hpp"
#include "evtok/parallel.hpp"

namespace evtok {
namespace {

constexpr int64_t kGrainBytes = 256 << 10;  // of rows, for a thread at a time
constexpr int64_t kBlock = 256;             // rows whose scores are looked at while they are in cache

ScoreRows kernel() {
#ifdef EVTOK_X86
  if (active_isa() >= Isa::avx2) return score_rows_avx2;
#endif
  return score_rows_scalar;
}

float score_of(RowScore score, const float* x, const float* y, int64_t n_dims) {
  float s = score == RowScore::negative_largest ? -std::numeric_limits<float>::infinity() : 0.0F;
  for (int64_t j = 0; j < n_dims; ++j) {
    if (score == RowScore::negative_largest) {
      // Once s is NaN it stays so.
      if (!(x[j] <= s)) s = std::isnan(s) ? s : x[j];
    } else {
      const float t = score == RowScore::squared_distance ? x[j] - y[j] : x[j];
      s = std::fma(t, t, s);
    }
  }
  return score == RowScore::negative_largest ? 0.0F - s : s;
}

}  // namespace

void score_rows_scalar(const RowScoreRule& rule, const float* x, int64_t n, int64_t n_dims, float* out) {
  for (int64_t r = 0; r < n; ++r)
    out[r] = score_of(rule.score, x + r * n_dims, rule.other + r * rule.other_stride, n_dims);
}

InvalidRows mark_invalid(float* scores, int64_t n, int64_t first) {
  InvalidRows invalid;
  bool finite = true;
  for (int64_t r = 0; r < n; ++r) finite &= scores[r] - scores[r] == 0;
  if (finite) return invalid;
  for (int64_t r = 0; r < n; ++r) {
    if (std::isfinite(scores[r])) continue;
    scores[r] = std::numeric_limits<float>::quiet_NaN();
    if (invalid.count++ == 0) invalid.first = first + r;
  }
  return invalid;
}

InvalidRows score_rows(const RowScoreRule& rule, const float* x, int64_t n, int64_t n_dims, int threads,
                       float* out) {
  const ScoreRows run = kernel();
  const int64_t row_bytes = n_dims * static_cast<int64_t>(sizeof(float));
  const int64_t grain = std::max(kBlock, kGrainBytes / row_bytes / kBlock * kBlock);
  InvalidRows all;
  std::mutex guard;
  parallel_for(n, grain, threads, [&](int64_t begin, int64_t end) {
    InvalidRows part;
    for (int64_t r = begin; r < end; r += kBlock) {
      const int64_t rows = std::min(kBlock, end - r);
      RowScoreRule own = rule;
      if (rule.other != nullptr) own.other += r * rule.other_stride;
      run(own, x + r * n_dims, rows, n_dims, out + r);
      if (rule.mean)
        for (int64_t i = 0; i < rows; ++i) out[r + i] /= static_cast<float>(n_dims);
      part.add(mark_invalid(out + r, rows, r));
    }
    const std::lock_guard lock(guard);
    all.add(part);
  });
  return all;
}

}  // namespace evtok
