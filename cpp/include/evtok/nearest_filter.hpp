// The filter before the exhaustive search: integers say which groups of codes can hold the nearest one.
//
// Vectors are rounded to 16-bit integers on a common scale g (a power of two) about a centre m:
//   y = (x - m) g,  d = (c - m) g  (real numbers),   xi = round(y),  ci = round(d)
// For l2 the ranking by |x - c|^2 is that of h(c) = |d|^2 / 2 - y.d, and e(c) = round(|d|^2 / 2) - xi.ci
// estimates it in int32 arithmetic, at twice the rate of float32. For dot, h = -y.d with m = 0 and a scale of
// each row.
//
// Bound. |h - e| <= 1 + |y - xi| |d| + |xi| |d - ci| <= E := 1 + 0.502 sqrt(D) (max|d| + |xi|): each rounding
// is at most 1/2, plus that of x - m in T, which is below 2^15 2^-24 < 0.002. Let k* be the winner of the
// specification and k0 the smallest e. The specification's s is within a factor (1 + u)^(D + 2) of the true
// distance, so with eta = (1 + u)^(D + 2) - 1 and S = h + |y|^2 / 2 (the true distance, scaled):
//   S(k*) (1 - eta) <= S(k0) (1 + eta)   =>   e(k*) <= e(k0) + 2 E + 2 eta / (1 - eta) S(k0),
//   S(k0) <= e(k0) + E + (|xi| + 0.502 sqrt(D))^2 / 2.
// For dot the specification's p is within eta |x| |c| of the true one, so e(k*) <= e(k0) + 2 E + 2 eta |y|
// max|d|. Codes with an equal s satisfy the same inequality, so the lowest index among equals is never lost.
// Scales are kept in a range where no subnormal number and no overflow of s reaches these lines; rows and
// codebooks outside it take the exhaustive search. int32 arithmetic wraps, and the estimates themselves stay
// below 2^31.
#pragma once

#include <cstdint>

#include "evtok/code_panels.hpp"
#include "evtok/isa.hpp"
#include "evtok/numerics.hpp"

namespace evtok {

/// Codes of one filter panel: 64 bytes of pairs of coordinates.
inline constexpr int kFilterPanel = 16;

/// What a kernel reads, borrowed. Coordinate pairs are padded with a zero.
struct FilterView {
  const int16_t* codes;  // (n_groups * group_panels, n_pairs, kFilterPanel, 2): -ci
  const int32_t*
      bias;  // (n_groups * group_panels, kFilterPanel): round(|d|^2 / 2), 0 for dot, INT32_MAX for none
  int64_t n_groups, group_panels, n_pairs;
};

/// The kernels of an instruction set; null where it has none.
struct FilterKernels {
  int64_t lanes;  // minima of a group
  /// For rows x (n_rows, n_pairs, 2): the smallest estimate in each lane of each group, into
  /// minima (n_rows, stride, lanes) from group 0 of `codes` on; stride counts groups.
  void (*minima)(const FilterView& codes, const int16_t* x, int64_t n_rows, int64_t stride, int32_t* minima);
  /// The smallest of minima (n_groups, lanes).
  int32_t (*smallest)(const int32_t* minima, int64_t n_groups);
  /// Writes the groups that have a minimum at or below `threshold`, increasing; returns how many. groups
  /// (n_groups,).
  int64_t (*groups_within)(const int32_t* minima, int64_t n_groups, int32_t threshold, int32_t* groups);
};
const FilterKernels* filter_kernels(Isa isa);

void filter_minima_avx2(const FilterView&, const int16_t*, int64_t, int64_t, int32_t*);
int32_t filter_smallest_avx2(const int32_t*, int64_t);
int64_t filter_groups_avx2(const int32_t*, int64_t, int32_t, int32_t*);
void filter_minima_avx512(const FilterView&, const int16_t*, int64_t, int64_t, int32_t*);
int32_t filter_smallest_avx512(const int32_t*, int64_t);
int64_t filter_groups_avx512(const int32_t*, int64_t, int32_t, int32_t*);
void filter_minima_avx512_bf16(const FilterView&, const int16_t*, int64_t, int64_t, int32_t*);

/// A codebook as the filter sees it.
template <class T> class FilterCodes {
public:
  FilterCodes() = default;
  /// codes (n_codes, n_dims) row-major, finite, borrowed for this call.
  FilterCodes(const T* codes, int64_t n_codes, int64_t n_dims, bool dot);

  /// False where the codebook is too small, or outside the range of the bound.
  bool usable() const { return usable_; }
  int64_t group_codes() const { return group_panels_ * kFilterPanel; }
  int64_t n_groups() const { return n_groups_; }
  int64_t n_pairs() const { return n_pairs_; }
  /// Groups [first, first + n).
  FilterView view(int64_t first, int64_t n) const;

  /// The row in integers, x (n_dims,) to rounded (n_pairs, 2). Returns its slack for `threshold`, or -1 where
  /// the bound does not cover the row.
  double round_row(const T* x, int16_t* rounded) const;
  /// The largest estimate that the winner may have, when the smallest estimate is `smallest`.
  int32_t threshold(int32_t smallest, double slack) const;

private:
  int64_t n_dims_ = 0, n_pairs_ = 0, group_panels_ = 0, n_groups_ = 0;
  bool dot_ = false, usable_ = false;
  T scale_ = 0;
  double largest_norm_ = 0, proportion_ = 0;
  AlignedVector<T> centre_;
  AlignedVector<int16_t> codes_;
  AlignedVector<int32_t> bias_;
};

extern template class FilterCodes<float>;
extern template class FilterCodes<double>;

}  // namespace evtok
