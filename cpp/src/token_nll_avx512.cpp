// Logits and their sums with AVX-512: 12 rows x 32 columns in registers.
#include "evtok/float_lanes_avx512.hpp"
#include "evtok/token_nll_block.hpp"

namespace evtok {

void block_logits_avx512(const HeadBlock& head, const float* rows, int64_t n_rows, float* logits) {
  block_logits<Avx512Float, 12, 2>(head, rows, n_rows, logits);
}

void add_logits_avx512(const float* logits, int64_t n_columns, ScoreState& state) {
  add_logits<Avx512Float>(logits, n_columns, state);
}

}  // namespace evtok
