// Bin search: a value to the number of edges at or below it.
//
// Contract (numpy.digitize on the stored edges, edges increasing):
//   left-closed   code = #{k : edges[k] <= x}     bin i is [edges[i-1], edges[i])
//   right-closed  code = #{k : edges[k] <  x}     bin i is (edges[i-1], edges[i]]
//   NaN gives n_edges, -0 equals +0, subnormals are numbers like others. Codes run from 0 (underflow) to
//   n_edges (overflow). The comparison is in the dtype of x; edges have that dtype already.
#pragma once

#include <cstdint>

#include "evtok/bin_grid.hpp"
#include "evtok/isa.hpp"
#include "evtok/numerics.hpp"

namespace evtok {

/// The specification, one value. `edges` is (n_edges,), increasing, borrowed.
template <class T> EVTOK_FORMULA int32_t bin_of(T x, const T* edges, int32_t n_edges, bool right) {
  int32_t low = 0, count = n_edges;
  while (count > 0) {
    const int32_t half = count / 2;
    const T edge = edges[low + half];
    // Written so that NaN passes every edge.
    const bool passed = right ? !(x <= edge) : !(x < edge);
    low = passed ? low + half + 1 : low;
    count = passed ? count - half - 1 : half;
  }
  return low;
}

// A code that is not a code: set in the accumulator beside the sum of codes, which stays below kUnknown.
inline constexpr int32_t kInvalid = INT32_MIN;  // bit 31: the value is NaN, infinite or outside the domain
inline constexpr int32_t kUnknown = 1 << 30;    // bit 30: the code is one that the vocabulary does not hold

/// What one feature contributes: accumulator += (clamp(code, first, last) - origin) * stride, with flags. An
/// invalid value contributes kInvalid and nothing else. A plain struct, so that files compiled for one
/// instruction set can use it. Built by BinSearch (bin_search.hpp).
template <class T> struct BinTable {
  const T* edges;  // (n_edges,) increasing, borrowed
  int32_t n_edges;
  bool right;            // right-closed bins
  bool check;            // flag kInvalid where !(lowest <= x && x <= highest)
  T lowest, highest;     // closed range of valid values
  int32_t first, last;   // codes outside [first, last] are clamped, or flagged
  bool outside_unknown;  // flag kUnknown where the code is outside [first, last]
  int32_t origin;        // the code whose contribution is 0, at most `first`
  int32_t stride;
  // Layout of the two-level vector search; `lanes` 0 means none (use the binary search).
  // coarse[b] separates bucket b from b + 1; bucket b holds the edges fine[f * lanes + b], f = 0..n_fine-1.
  // Unused places hold NaN, which no value passes in an ordered comparison.
  int32_t lanes;
  int32_t n_fine;
  const T* coarse;  // (lanes - 1,), borrowed
  const T* fine;    // (n_fine, lanes) row-major, borrowed
  // The same layout with edges rounded to float32, for an instruction set that permutes float32 only: since
  // rounding is monotone, it decides every value whose rounding is no edge's rounding. Null elsewhere.
  const float* coarse32;  // (lanes - 1,), borrowed
  const float* fine32;    // (n_fine, lanes) row-major, borrowed
  BinGrid grid;           // of regular float32 edges, for an instruction set that uses it
};

/// One accumulation over n values: x (n,) contiguous; accumulator (n,) int32, read and written unless
/// `fresh`, in which case it is only written. n is any size; callers pass blocks that stay in cache.
template <class T>
using AccumulateBins = void (*)(const T* x, int64_t n, const BinTable<T>& table, bool fresh,
                                int32_t* accumulator);

template <class T> AccumulateBins<T> accumulate_bins_for(Isa isa);
extern template AccumulateBins<float> accumulate_bins_for<float>(Isa);
extern template AccumulateBins<double> accumulate_bins_for<double>(Isa);

/// Lanes of the vector search on `isa` for T; 0 where there is no vector search.
template <class T> int32_t bin_lanes(Isa isa);
extern template int32_t bin_lanes<float>(Isa);
extern template int32_t bin_lanes<double>(Isa);

/// The same without flags, for the usual case that there are none: true exactly when no value was flagged;
/// the accumulator must carry no flag before. When it returns false the accumulator is spoiled, and
/// AccumulateBins has to be called for the whole block, every feature of it.
template <class T>
using SumBins = bool (*)(const T* x, int64_t n, const BinTable<T>& table, bool fresh, int32_t* accumulator);

template <class T> SumBins<T> sum_bins_for(Isa isa);
extern template SumBins<float> sum_bins_for<float>(Isa);
extern template SumBins<double> sum_bins_for<double>(Isa);

// Two entry points per element type and instruction set.
void accumulate_bins_f32_avx2(const float*, int64_t, const BinTable<float>&, bool, int32_t*);
void accumulate_bins_f64_avx2(const double*, int64_t, const BinTable<double>&, bool, int32_t*);
void accumulate_bins_f32_avx512(const float*, int64_t, const BinTable<float>&, bool, int32_t*);
void accumulate_bins_f64_avx512(const double*, int64_t, const BinTable<double>&, bool, int32_t*);
bool sum_bins_f32_avx2(const float*, int64_t, const BinTable<float>&, bool, int32_t*);
bool sum_bins_f64_avx2(const double*, int64_t, const BinTable<double>&, bool, int32_t*);
bool sum_bins_f32_avx512(const float*, int64_t, const BinTable<float>&, bool, int32_t*);
bool sum_bins_f64_avx512(const double*, int64_t, const BinTable<double>&, bool, int32_t*);

/// The specification of one contribution, used by the scalar file and for the tails of the others.
template <class T> EVTOK_FORMULA int32_t bin_contribution(T x, const BinTable<T>& t) {
  if (t.check && !(t.lowest <= x && x <= t.highest)) return kInvalid;
  int32_t code = bin_of(x, t.edges, t.n_edges, t.right);
  const int32_t flags = t.outside_unknown && (code < t.first || code > t.last) ? kUnknown : 0;
  code = code < t.first ? t.first : code;
  code = code > t.last ? t.last : code;
  return ((code - t.origin) * t.stride) | flags;
}

/// Adds a contribution and keeps the flags of both.
EVTOK_FORMULA int32_t add_contribution(int32_t accumulator, int32_t contribution) {
  constexpr uint32_t flags = 0xC0000000u;  // kInvalid | kUnknown
  const uint32_t a = static_cast<uint32_t>(accumulator), c = static_cast<uint32_t>(contribution);
  return static_cast<int32_t>(((a & ~flags) + (c & ~flags)) | ((a | c) & flags));
}

/// SumBins for one value: adds the contribution, and says whether it carried no flag.
template <class T>
EVTOK_FORMULA bool sum_contribution(T x, const BinTable<T>& t, bool fresh, int32_t* accumulator) {
  const int32_t contribution = bin_contribution(x, t);
  *accumulator = add_contribution(fresh ? 0 : *accumulator, contribution);
  return contribution >= 0 && (contribution & kUnknown) == 0;
}

}  // namespace evtok
