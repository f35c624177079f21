#include "evtok/token_nll.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "evtok/isa.hpp"
#include "evtok/parallel.hpp"

namespace evtok {
namespace {

// Rows of a tile: enough to share each read of the weights, few enough to stay in the cache beside a block.
constexpr int64_t kTileRows = 96;
// Multiply-adds of a tile: the caller is asked for Ctrl-C between tiles.
constexpr int64_t kTileWork = int64_t{1} << 30;
constexpr int64_t kScalarTileWork = int64_t{1} << 24;
constexpr int64_t kLogitsGrain = int64_t{1} << 18;  // values handed to a thread at a time
constexpr int64_t kPackGrain = 8;                   // panels handed to a thread at a time
constexpr double kMostLogit = 0x1p126;              // differences of such logits are finite
constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

struct ScoreKernels {
  BlockLogits logits = block_logits_scalar;
  AddLogits add = add_logits_scalar;
  int64_t tile_work = kScalarTileWork;
};

ScoreKernels kernels_for(Isa isa) {
#ifdef EVTOK_X86
  if (isa >= Isa::avx512) return {block_logits_avx512, add_logits_avx512, kTileWork};
  if (isa >= Isa::avx2) return {block_logits_avx2, add_logits_avx2, kTileWork};
#else
  (void)isa;
#endif
  return {};
}

// The largest |x|, NaN if there is one. Four maxima, so that none waits for another.
double largest_magnitude(const float* x, int64_t n) {
  float largest[16] = {}, not_finite[16] = {};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int64_t k = 0; k < 16; ++k) {
      const float magnitude = std::abs(x[i + k]);
      largest[k] = magnitude > largest[k] ? magnitude : largest[k];
      not_finite[k] += x[i + k] - x[i + k];
    }
  for (; i < n; ++i) {
    largest[0] = std::max(largest[0], std::abs(x[i]));
    not_finite[0] += x[i] - x[i];
  }
  float most = 0;
  for (int k = 0; k < 16; ++k) most = std::max(most, largest[k]) + not_finite[k];
  return static_cast<double>(most);
}

float result_of(ScoreState& state, float target_logit) {
  for (int width = kScoreLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) state.sums[i] += state.sums[i + width];
  return (state.largest - target_logit) + logarithm(state.sums[0]);
}

// Counts the rows that were refused, over all threads.
class RefusedCount {
public:
  void add(int64_t row, bool finite) {
    const std::lock_guard lock(mutex_);
    ++refused_.count;
    if (refused_.first >= 0 && refused_.first < row) return;
    refused_.first = row;
    refused_.finite = finite;
  }
  RefusedRows get() const { return refused_; }

private:
  std::mutex mutex_;
  RefusedRows refused_;
};

// A thread's memory, used for tile after tile.
struct Tile {
  AlignedVector<float> hidden;  // (groups, n_dims, kScoreRows)
  AlignedVector<float> logits = AlignedVector<float>(kScoreRows * kScoreBlock);
  std::vector<ScoreState> states;
  std::vector<float> target_logits;
  std::vector<uint8_t> refused;
};

}  // namespace

void block_logits_scalar(const HeadBlock& head, const float* rows, int64_t n_rows, float* logits) {
  block_logits<FloatLane, 1, 1>(head, rows, n_rows, logits);
}

void add_logits_scalar(const float* logits, int64_t n_columns, ScoreState& state) {
  add_logits<FloatLane>(logits, n_columns, state);
}

int64_t first_wrong_target(const int64_t* targets, int64_t n, int64_t n_tokens, int64_t ignored) {
  for (int64_t row = 0; row < n; ++row)
    if (targets[row] != ignored && (targets[row] < 0 || targets[row] >= n_tokens)) return row;
  return -1;
}

TokenHead::TokenHead(const float* weight, const float* bias, int64_t n_tokens, int64_t n_dims, int threads)
    : n_tokens_(n_tokens), n_dims_(n_dims),
      n_columns_((n_tokens + 2 * kScoreLanes - 1) / (2 * kScoreLanes) * (2 * kScoreLanes)) {
  if (n_tokens < 1 || n_dims < 1)
    throw std::invalid_argument("weight: expected at least one token and one dimension");
  weight_.resize(static_cast<size_t>(n_columns_ * n_dims));
  bias_.assign(static_cast<size_t>(n_columns_), -std::numeric_limits<float>::infinity());
  for (int64_t v = 0; v < n_tokens; ++v) bias_[static_cast<size_t>(v)] = bias == nullptr ? 0.0F : bias[v];
  std::vector<double> largest(static_cast<size_t>(n_columns_ / kScoreLanes));
  parallel_for(n_columns_ / kScoreLanes, kPackGrain, threads, [&](int64_t first, int64_t last) {
    for (int64_t v = first * kScoreLanes; v < std::min(last * kScoreLanes, n_tokens_); ++v) {
      const float* of_token = weight + v * n_dims_;
      float* packed = weight_.data() + v / kScoreLanes * n_dims_ * kScoreLanes + v % kScoreLanes;
      for (int64_t j = 0; j < n_dims_; ++j) packed[j * kScoreLanes] = of_token[j];
      double& most = largest[static_cast<size_t>(v / kScoreLanes)];
      const double magnitude = largest_magnitude(of_token, n_dims_);
      most = magnitude <= most ? most : magnitude;
      if (!std::isfinite(magnitude))
        throw std::invalid_argument("weight: token " + std::to_string(v) + " holds NaN or infinity");
    }
  });
  for (const double most : largest) largest_weight_ = std::max(largest_weight_, most);
  if (bias == nullptr) return;
  largest_bias_ = largest_magnitude(bias, n_tokens);
  if (!std::isfinite(largest_bias_)) throw std::invalid_argument("bias: holds NaN or infinity");
}

void TokenHead::parameters(float* weight, float* bias) const {
  for (int64_t v = 0; v < n_tokens_; ++v) {
    const float* packed = weight_.data() + v / kScoreLanes * n_dims_ * kScoreLanes + v % kScoreLanes;
    for (int64_t j = 0; j < n_dims_; ++j) weight[v * n_dims_ + j] = packed[j * kScoreLanes];
    bias[v] = bias_[static_cast<size_t>(v)];
  }
}

bool TokenHead::takes(double largest) const {
  // A NaN fails the comparison too.
  return std::isfinite(largest) &&
         largest_bias_ + static_cast<double>(n_dims_) * largest * largest_weight_ < kMostLogit;
}

RefusedRows TokenHead::nll(const ScoredRows& rows, int threads, float* nll) const {
  std::vector<int64_t> scored;
  for (int64_t row = 0; row < rows.n; ++row) {
    if (rows.targets[row] == rows.ignored)
      nll[row] = 0.0F;
    else
      scored.push_back(row);
  }
  const ScoreKernels kernels = kernels_for(active_isa());
  const auto n_scored = static_cast<int64_t>(scored.size());
  const int64_t share = (n_scored + checked_threads(threads) - 1) / checked_threads(threads);
  const int64_t worth = kernels.tile_work / (n_columns_ * n_dims_);
  const int64_t wanted = std::min({kTileRows, share, worth});
  const int64_t tile_rows = std::max<int64_t>(1, (wanted + kScoreRows - 1) / kScoreRows) * kScoreRows;
  RefusedCount refused;

  // Rows (n, n_dims) to groups (n_dims, kScoreRows); 0 stands for those that are refused or missing.
  const auto take = [&](const int64_t* indices, int64_t n, Tile& tile) {
    const int64_t groups = (n + kScoreRows - 1) / kScoreRows;
    tile.hidden.assign(static_cast<size_t>(groups * n_dims_ * kScoreRows), 0.0F);
    tile.states.assign(static_cast<size_t>(n), ScoreState{});
    tile.target_logits.resize(static_cast<size_t>(n));
    tile.refused.assign(static_cast<size_t>(n), 0);
    for (int64_t r = 0; r < n; ++r) {
      const float* h = rows.values + indices[r] * n_dims_;
      const double largest = largest_magnitude(h, n_dims_);
      if (!takes(largest)) {
        refused.add(indices[r], std::isfinite(largest));
        tile.refused[static_cast<size_t>(r)] = 1;
        continue;
      }
      float* packed = tile.hidden.data() + r / kScoreRows * n_dims_ * kScoreRows + r % kScoreRows;
      for (int64_t j = 0; j < n_dims_; ++j) packed[j * kScoreRows] = h[j];
    }
  };
  const auto score = [&](const int64_t* indices, int64_t n, Tile& tile) {
    for (int64_t first = 0; first < n_columns_; first += kScoreBlock) {
      const int64_t n_columns = std::min<int64_t>(kScoreBlock, n_columns_ - first);
      const HeadBlock block{weight_.data() + first * n_dims_, bias_.data() + first, n_columns / kScoreLanes,
                            n_dims_};
      for (int64_t group = 0; group < n; group += kScoreRows) {
        const int64_t n_rows = std::min<int64_t>(kScoreRows, n - group);
        kernels.logits(block, tile.hidden.data() + group * n_dims_, n_rows, tile.logits.data());
        for (int64_t r = 0; r < n_rows; ++r) {
          const float* logits = tile.logits.data() + r * kScoreBlock;
          const auto place = static_cast<size_t>(group + r);
          const int64_t target = rows.targets[indices[group + r]] - first;
          if (target >= 0 && target < n_columns) tile.target_logits[place] = logits[target];
          kernels.add(logits, n_columns, tile.states[place]);
        }
      }
    }
  };
  parallel_for((n_scored + tile_rows - 1) / tile_rows, 1, threads, [&](int64_t begin, int64_t end) {
    thread_local Tile tile;
    for (int64_t k = begin; k < end; ++k) {
      const int64_t* indices = scored.data() + k * tile_rows;
      const int64_t n = std::min(tile_rows, n_scored - k * tile_rows);
      take(indices, n, tile);
      score(indices, n, tile);
      for (int64_t r = 0; r < n; ++r) {
        const auto place = static_cast<size_t>(r);
        nll[indices[r]] =
            tile.refused[place] != 0 ? kNone : result_of(tile.states[place], tile.target_logits[place]);
      }
    }
  });
  return refused.get();
}

RefusedRows nll_from_logits(const ScoredRows& rows, int64_t n_tokens, int threads, float* nll) {
  if (n_tokens < 1) throw std::invalid_argument("logits: expected at least one token");
  const AddLogits add = kernels_for(active_isa()).add;
  const int64_t whole = n_tokens / kScoreLanes * kScoreLanes;
  RefusedCount refused;
  parallel_for(rows.n, std::max<int64_t>(1, kLogitsGrain / n_tokens), threads,
               [&](int64_t begin, int64_t end) {
                 for (int64_t row = begin; row < end; ++row) {
                   nll[row] = 0.0F;
                   if (rows.targets[row] == rows.ignored) continue;
                   const float* logits = rows.values + row * n_tokens;
                   ScoreState state;
                   // The last block ends with lanes that no token has.
                   float last[kScoreBlock];
                   for (int64_t first = 0; first < n_tokens; first += kScoreBlock) {
                     const int64_t n = std::min<int64_t>(kScoreBlock, n_tokens - first);
                     if (first + n <= whole) {
                       add(logits + first, n, state);
                       continue;
                     }
                     std::copy_n(logits + first, n, last);
                     const int64_t padded = (n + kScoreLanes - 1) / kScoreLanes * kScoreLanes;
                     std::fill(last + n, last + padded, -std::numeric_limits<float>::infinity());
                     add(last, padded, state);
                   }
                   nll[row] = result_of(state, logits[rows.targets[row]]);
                   if (std::isfinite(nll[row])) continue;
                   nll[row] = kNone;
                   refused.add(row, std::none_of(logits, logits + n_tokens,
                                                 [](float l) { return l != l || l > 0x1.fffffep+127F; }));
                 }
               });
  return refused.get();
}

}  // namespace evtok
