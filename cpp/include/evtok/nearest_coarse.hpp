// A coarse stage before the filter (nearest_filter.hpp): 7-bit integers say for which codes its 16-bit
// estimate is worth computing. It multiplies twice as many numbers an instruction.
//
// The filter has made integers of the row and of the codes, X and C, and keeps the codes with
//   e(c) = bias(c) - X.C <= T(e0),   e0 the smallest e,
// T increasing. All of this stage is about these integers: what the filter proved stays as it is. With a step
// S of the codebook, the one that brings the largest coordinate of a code to 63,
//   X = S u + r,  C = S v + t,   u, v in [-63, 63],  r and t what remains, exactly;
//   X.C = S^2 u.v + S u.t + r.C,
// so, with q(c) = floor(bias(c) / S^2) - u.v,
//   e(c) >= S^2 q(c) - E,   E = |S u| max|t| + |r| max|C|         (Cauchy and Schwarz, twice).
// For any code c1, T(e(c1)) >= T(e0). So a code with S^2 q(c) > T(e(c1)) + E is none that the filter keeps.
// c1 is taken from the cell of codes with the smallest q; as e(c1) is known exactly, E counts once, not
// twice. The codes that are left get their e, one at a time, and those at or below T(e0) go to the
// specification: the filter's own answer, code by code where it has groups.
//
// A row is stored as bytes u + 64, because AVX2 multiplies unsigned by signed bytes. It adds pairs of such
// products in 16 bits, |(u + 64) v + (u' + 64) v'| <= 2 * 127 * 63, and these pairs in 16-bit lanes over a
// stretch of the coordinates. A lane starts at -64 sum w over its part of the stretch, w = -v, so that it
// ends at sum u w; on the way it may wrap around, at its end it does not: |sum u w| <= |u| |w| < 2^15, with
// |w| the largest over all codes, lanes and stretches. Rows with a longer |u| are left to the filter. A
// stretch of four quads holds all rows, with eight numbers a lane: 8 * 63 * 63 < 2^15. int32 holds the sums
// of all stretches.
#pragma once

#include <cstdint>
#include <vector>

#include "evtok/code_panels.hpp"
#include "evtok/isa.hpp"
#include "evtok/nearest_filter.hpp"

namespace evtok {

/// What a kernel reads, borrowed: codes in the filter's panels, four coordinates (a quad) side by side. Quads
/// are padded with zeros.
struct CoarseView {
  const int8_t* codes;  // (n_groups * group_panels, n_quads, kFilterPanel, 4): -v
  const int32_t* bias;  // (n_groups * group_panels, kFilterPanel): floor(bias / S^2), INT32_MAX for no code
  const int16_t*
      starts;  // (n_groups * group_panels, n_stretches, kFilterPanel, 2): -64 sum w, wrapped around
  int64_t n_groups, group_panels, n_quads;
  int64_t stretch;  // quads that are added in 16 bits; the last stretch may be shorter
};

/// A row as the coarse stage sees it.
struct CoarseRow {
  int64_t square, rest;  // |u|^2 and |r|^2; they mean nothing where largest is beyond 64 steps
  int32_t largest;       // the largest |X[j]|
};

/// A row and a code that go to the specification.
template <class T> struct ChainPair {
  const T *x, *code;  // (n_dims,)
};

/// The kernels of an instruction set; null where it has none. Their minima have the lanes of FilterKernels.
struct CoarseKernels {
  /// X x (n,) to u + 64, padded to n_quads * 4 with 64.
  CoarseRow (*round_row)(const int16_t* x, int64_t n, int32_t step, int64_t n_quads, uint8_t* rounded);
  /// For rows x (n_rows, n_quads * 4): the smallest q in each lane of each group, as FilterKernels::minima.
  void (*minima)(const CoarseView& codes, const uint8_t* x, int64_t n_rows, int64_t stride, int32_t* minima);
  /// Writes the places of minima (n,) that are at or below `limit`, increasing; returns how many. places
  /// (n,); n is a multiple of the filter's lanes.
  int64_t (*places_within)(const int32_t* minima, int64_t n, int32_t limit, int32_t* places);
  /// row.codes[id] of each id, into products (n_ids,). row (n,) and codes (n_codes, n) of int16; n is a
  /// multiple of kProductWidth.
  void (*products)(const int16_t* row, const int16_t* codes, int64_t n, const int32_t* ids, int64_t n_ids,
                   int32_t* products);
  /// The specification for n pairs; dot or l2.
  void (*chains_f32)(const ChainPair<float>* pairs, int64_t n, int64_t n_dims, bool dot, float* values);
  void (*chains_f64)(const ChainPair<double>* pairs, int64_t n, int64_t n_dims, bool dot, double* values);
};
const CoarseKernels* coarse_kernels(Isa isa);

inline constexpr int64_t kProductWidth = 16;

CoarseRow coarse_round_row_avx2(const int16_t*, int64_t, int32_t, int64_t, uint8_t*);
void coarse_minima_avx2(const CoarseView&, const uint8_t*, int64_t, int64_t, int32_t*);
int64_t coarse_places_avx2(const int32_t*, int64_t, int32_t, int32_t*);
void coarse_products_avx2(const int16_t*, const int16_t*, int64_t, const int32_t*, int64_t, int32_t*);
void coarse_chains_f32_avx2(const ChainPair<float>*, int64_t, int64_t, bool, float*);
void coarse_chains_f64_avx2(const ChainPair<double>*, int64_t, int64_t, bool, double*);

/// A codebook as the coarse stage sees it.
template <class T> class CoarseCodes {
public:
  CoarseCodes() = default;
  /// codes (n_codes, n_dims) row-major, borrowed for this call, and what the filter made of them.
  CoarseCodes(const T* codes, int64_t n_codes, int64_t n_dims, const FilterCodes<T>& filter);

  /// Whether the stage is faster than the filter alone, for rows that spread as the codes do (measured).
  static bool worth_building(int64_t n_codes, int64_t n_dims);

  /// False where the filter is not usable, or n_dims is too large.
  bool usable() const { return usable_; }
  int64_t n_codes() const { return n_codes_; }
  int64_t n_dims() const { return n_dims_; }
  int64_t n_groups() const { return n_groups_; }
  int64_t group_panels() const { return group_panels_; }
  int64_t n_quads() const { return n_quads_; }
  int32_t step() const { return step_; }
  /// Groups [first, first + n).
  CoarseView view(int64_t first, int64_t n) const;

  /// E of a row, or -1 where it is out of the range of the bytes or of the lanes.
  double error(const CoarseRow& row) const;
  /// The largest q that a code with e <= threshold may have.
  int32_t limit(int32_t threshold, double error) const;

  /// The filter's integers, code after code: n_dims padded with zeros to a multiple of kProductWidth.
  int64_t n_padded() const { return n_padded_; }
  const int16_t* integers() const { return integers_.data(); }  // -C
  int32_t bias(int64_t k) const { return biases_[static_cast<size_t>(k)]; }
  const T* code(int64_t k) const { return rows_.data() + k * n_dims_; }

private:
  double longest_lane() const;
  void set_starts();

  int64_t n_codes_ = 0, n_dims_ = 0, n_quads_ = 0, n_padded_ = 0, group_panels_ = 1, n_groups_ = 0;
  int64_t stretch_ = 0, n_stretches_ = 0;
  bool usable_ = false;
  int32_t step_ = 1;
  double largest_rest_ = 0, largest_norm_ = 0;  // |t|, |C|
  double longest_row_ = 0;                      // |u|
  AlignedVector<int8_t> codes_;                 // as in CoarseView
  AlignedVector<int32_t> bias_;                 // as in CoarseView
  AlignedVector<int16_t> starts_;               // as in CoarseView
  AlignedVector<int16_t> integers_;             // (n_codes, n_padded)
  std::vector<int32_t> biases_;                 // (n_codes,): of the filter
  AlignedVector<T> rows_;                       // (n_codes, n_dims): the codes, row after row
};

extern template class CoarseCodes<float>;
extern template class CoarseCodes<double>;

}  // namespace evtok
