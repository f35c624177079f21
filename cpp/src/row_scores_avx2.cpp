// Scores of rows with AVX2: eight rows a vector, four vectors in flight to hide the latency of their chains.
#include "evtok/row_scores.hpp"
#include "evtok/transpose_avx2.hpp"

namespace evtok {
namespace {

#define EVTOK_INSIDE inline __attribute__((always_inline))

constexpr int kVectors = 4;
constexpr int64_t kRows = 8 * kVectors;

// What a row is compared with.
enum class Other { none, shared, own };

template <RowScore kScore> EVTOK_INSIDE __m256 step(__m256 x, __m256 y, __m256 s) {
  if constexpr (kScore == RowScore::negative_largest) {
    const __m256 largest = _mm256_max_ps(x, s);  // s where one of them is NaN
    return _mm256_blendv_ps(largest, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  }
  const __m256 t = kScore == RowScore::squared_distance ? _mm256_sub_ps(x, y) : x;
  return _mm256_fmadd_ps(t, t, s);
}

// Components j to j + 7 (to j + width - 1 where kRest) of the rows.
template <RowScore kScore, Other kOther, bool kRest>
EVTOK_INSIDE void components(const RowPointers<kRows>& x, const RowPointers<kRows>& y, const float* centre,
                             int64_t j, int64_t width, __m256 (&s)[kVectors]) {
  for (int v = 0; v < kVectors; ++v) {
    const auto take = [v](const RowPointers<kRows>& from, int64_t at, int64_t rest, __m256(&into)[8])
                          __attribute__((always_inline)) {
                            const float* eight[8];
                            for (int r = 0; r < 8; ++r) eight[r] = from.row[8 * v + r];
                            if constexpr (kRest)
                              transpose_rest(eight, at, rest, into);
                            else
                              transpose8(eight, at, into);
                          };
    __m256 a[8], b[8];
    take(x, j, width, a);
    if constexpr (kOther == Other::own) take(y, j, width, b);
    for (int q = 0; q < 8; ++q) {
      if (kRest && q >= width) break;
      if constexpr (kOther == Other::none) b[q] = _mm256_setzero_ps();
      if constexpr (kOther == Other::shared) b[q] = _mm256_broadcast_ss(centre + j + q);
      s[v] = step<kScore>(a[q], b[q], s[v]);
    }
  }
}

// Fetches what components j to j + 7 of kRows rows from `rows` on would take if the rows lay one behind the
// other by component: over all j, these rows. Rows read side by side are more streams than a processor
// foresees.
EVTOK_INSIDE void fetch_share(const float* rows, int64_t j) {
  for (int64_t at = 0; at < 8 * kRows; at += 16) _mm_prefetch(rows + j * kRows + at, _MM_HINT_T0);
}

template <RowScore kScore, Other kOther>
EVTOK_INSIDE void score(const RowScoreRule& rule, const float* x, int64_t n, int64_t n_dims, float* out) {
  for (int64_t r = 0; r < n; r += kRows) {
    const RowPointers<kRows> rows(x, r, n, n_dims);
    const RowPointers<kRows> others(kOther == Other::own ? rule.other : x, r, n, n_dims);
    __m256 s[kVectors];
    for (int v = 0; v < kVectors; ++v)
      s[v] = _mm256_set1_ps(kScore == RowScore::negative_largest ? -__builtin_inff() : 0.0F);
    int64_t j = 0;
    for (; j + 8 <= n_dims; j += 8) {
      fetch_share(x + (r + kRows) * n_dims, j);
      if constexpr (kOther == Other::own) fetch_share(rule.other + (r + kRows) * n_dims, j);
      components<kScore, kOther, false>(rows, others, rule.other, j, 8, s);
    }
    if (j < n_dims) components<kScore, kOther, true>(rows, others, rule.other, j, n_dims - j, s);
    alignas(32) float last[kRows];
    float* place = r + kRows <= n ? out + r : last;
    for (int v = 0; v < kVectors; ++v) {
      if constexpr (kScore == RowScore::negative_largest) s[v] = _mm256_sub_ps(_mm256_setzero_ps(), s[v]);
      _mm256_storeu_ps(place + 8 * v, s[v]);
    }
    if (place == last)
      for (int64_t i = r; i < n; ++i) out[i] = last[i - r];
  }
}

}  // namespace

void score_rows_avx2(const RowScoreRule& rule, const float* x, int64_t n, int64_t n_dims, float* out) {
  switch (rule.score) {
  case RowScore::squared_distance:
    if (rule.other_stride == 0)
      score<RowScore::squared_distance, Other::shared>(rule, x, n, n_dims, out);
    else
      score<RowScore::squared_distance, Other::own>(rule, x, n, n_dims, out);
    return;
  case RowScore::squared_sum:
    return score<RowScore::squared_sum, Other::none>(rule, x, n, n_dims, out);
  case RowScore::negative_largest:
    return score<RowScore::negative_largest, Other::none>(rule, x, n, n_dims, out);
  }
}

}  // namespace evtok
