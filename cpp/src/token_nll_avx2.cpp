// Logits and their sums with AVX2: 6 rows x 16 columns in registers.
#include "evtok/float_lanes_avx2.hpp"
#include "evtok/token_nll_block.hpp"

namespace evtok {

void block_logits_avx2(const HeadBlock& head, const float* rows, int64_t n_rows, float* logits) {
  block_logits<Avx2Float, 6, 1>(head, rows, n_rows, logits);
}

void add_logits_avx2(const float* logits, int64_t n_columns, ScoreState& state) {
  add_logits<Avx2Float>(logits, n_columns, state);
}

}  // namespace evtok
