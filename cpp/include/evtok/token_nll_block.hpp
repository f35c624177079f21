// The two steps of token_nll.hpp for one block of columns: logits of a few rows, and their sums of exp.
//
// Templates over the lanes of an instruction set (float_lanes_*.hpp, FloatLane); each instruction set's file
// instantiates them with lanes of its own. No STL here, because those files include it.
#pragma once

#include <cstdint>

#include "evtok/float_functions.hpp"
#include "evtok/numerics.hpp"

namespace evtok {

inline constexpr int kScoreBlock = 256;  // columns whose logits are in memory at once
inline constexpr int kScoreLanes = 16;   // sums of a row, and columns of a panel of weights
inline constexpr int kScoreRows = 12;    // rows whose logits are made together

/// Weights and biases of a block, borrowed.
struct HeadBlock {
  const float* weight;  // (n_panels, n_dims, kScoreLanes)
  const float* bias;    // (n_panels, kScoreLanes)
  int64_t n_panels;     // even
  int64_t n_dims;
};

/// What a row has gathered from the blocks before.
struct ScoreState {
  float largest = -0x1.fffffep+127F;
  float sums[kScoreLanes] = {};
};

/// Logits (kScoreRows, kScoreBlock) of rows (n_dims, kScoreRows), the first n_rows of them.
using BlockLogits = void (*)(const HeadBlock& head, const float* rows, int64_t n_rows, float* logits);
/// Adds logits (n_columns,) to the state of their row; n_columns is a multiple of kScoreLanes.
using AddLogits = void (*)(const float* logits, int64_t n_columns, ScoreState& state);

/// kRows rows, from column `row` of rows on, against kPanels panels; the accumulators stay in registers.
template <class Lanes, int kRows, int kPanels>
EVTOK_FORMULA void tile_logits(const HeadBlock& head, int64_t panel, const float* rows, float* logits) {
  using Vector = typename Lanes::Vector;
  constexpr int kWidth = Lanes::width, kEach = kScoreLanes / kWidth, kVectors = kPanels * kEach;
  const float* weight[kPanels];
  for (int p = 0; p < kPanels; ++p) weight[p] = head.weight + (panel + p) * head.n_dims * kScoreLanes;
  Vector s[kRows][kVectors];
  for (auto& of_row : s)
    for (int v = 0; v < kVectors; ++v) of_row[v] = Lanes::load(head.bias + panel * kScoreLanes + v * kWidth);
#pragma GCC unroll 4
  for (int64_t j = 0; j < head.n_dims; ++j) {
    Vector w[kVectors];
    for (int v = 0; v < kVectors; ++v)
      w[v] = Lanes::load(weight[v / kEach] + j * kScoreLanes + v % kEach * kWidth);
    for (int r = 0; r < kRows; ++r) {
      const Vector h = Lanes::all(rows[j * kScoreRows + r]);
      for (int v = 0; v < kVectors; ++v) s[r][v] = Lanes::fma(h, w[v], s[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v)
      Lanes::store(logits + r * kScoreBlock + panel * kScoreLanes + v * kWidth, s[r][v]);
}

template <class Lanes, int kRows, int kPanels>
EVTOK_FORMULA void block_logits(const HeadBlock& head, const float* rows, int64_t n_rows, float* logits) {
  static_assert(kScoreRows % kRows == 0);
  for (int64_t r = 0; r < n_rows; r += kRows)
    for (int64_t panel = 0; panel < head.n_panels; panel += kPanels)
      tile_logits<Lanes, kRows, kPanels>(head, panel, rows + r, logits + r * kScoreBlock);
}

template <class Lanes>
EVTOK_FORMULA void add_logits(const float* logits, int64_t n_columns, ScoreState& state) {
  using Vector = typename Lanes::Vector;
  constexpr int kWidth = Lanes::width, kVectors = kScoreLanes / kWidth;
  Vector most[kVectors];
  for (Vector& lanes : most) lanes = Lanes::all(state.largest);
  for (int64_t c = 0; c < n_columns; c += kScoreLanes)
    for (int v = 0; v < kVectors; ++v) most[v] = Lanes::max(most[v], Lanes::load(logits + c + v * kWidth));
  float lanes[kScoreLanes];
  for (int v = 0; v < kVectors; ++v) Lanes::store(lanes + v * kWidth, most[v]);
  float next = lanes[0];
  for (const float lane : lanes) next = lane > next ? lane : next;

  Vector sums[kVectors];
  for (Vector& sum : sums) sum = Lanes::zero();
  const Vector largest = Lanes::all(next);
  for (int64_t c = 0; c < n_columns; c += kScoreLanes)
    for (int v = 0; v < kVectors; ++v) {
      const Vector below = Lanes::sub(Lanes::load(logits + c + v * kWidth), largest);
      sums[v] = Lanes::add(sums[v], exponential<Lanes>(below));
    }
  const Vector scale = Lanes::all(exponential<FloatLane>(state.largest - next));
  for (int v = 0; v < kVectors; ++v) {
    float* of_row = state.sums + v * kWidth;
    Lanes::store(of_row, Lanes::fma(Lanes::load(of_row), scale, sums[v]));
  }
  state.largest = next;
}

void block_logits_scalar(const HeadBlock& head, const float* rows, int64_t n_rows, float* logits);
void block_logits_avx2(const HeadBlock& head, const float* rows, int64_t n_rows, float* logits);
void block_logits_avx512(const HeadBlock& head, const float* rows, int64_t n_rows, float* logits);
void add_logits_scalar(const float* logits, int64_t n_columns, ScoreState& state);
void add_logits_avx2(const float* logits, int64_t n_columns, ScoreState& state);
void add_logits_avx512(const float* logits, int64_t n_columns, ScoreState& state);

}  // namespace evtok
