// How unlikely a row is by the histograms of its components, taken one by one (HBOS).
//
// Contract. s = 0; for j in 0..D-1: s = fl(s + value[j][bin of x[j] among the edges of j]) in float32, with
// the bins of bins.hpp, left-closed: below the first edge is bin 0, at or above the last one the last bin. A
// row with a component that is not finite, or whose s overflows, is invalid and is given NaN. The bits of a
// row depend neither on the other rows nor on the instruction set.
#pragma once

#include <cstdint>

#include "evtok/row_scores.hpp"

namespace evtok {

/// The histogram of one component; both arrays are borrowed.
struct Histogram {
  const float* edges;  // (n_edges,) increasing
  int64_t n_edges;
  const float* values;  // (n_edges + 1,) finite: minus the log density of each bin
};

/// Values of a histogram that fit into two registers of AVX-512.
inline constexpr int64_t kValuesInRegisters = 32;

/// scores[i] += values[codes[i]]: values (kValuesInRegisters,); codes and scores (n,), readable and writable
/// up to a multiple of 16, where codes may be anything.
void add_bin_values_avx512(const float* values, const int32_t* codes, int64_t n, float* scores);

/// Every row of x (n, n_dims) row-major to out (n,); histograms (n_dims,), n_dims at least 1.
InvalidRows histogram_score(const Histogram* histograms, int64_t n_dims, const float* x, int64_t n,
                            int threads, float* out);

}  // namespace evtok
