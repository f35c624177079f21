// Scalar quantizers (FSQ, LFQ): every component of a vector has levels of its own, and their digits make one
// id.
//
// Contract. Digit j of a row is the bin of x[j] among the thresholds of component j (bins.hpp), and the id is
// sum_j digit_j * stride_j, in integers. A row that is masked, or has a component that is NaN or infinite,
// gets the id -1; what a masked row holds is not looked at.
#pragma once

#include <cstdint>

#include "evtok/invalid_rows.hpp"

namespace evtok {

/// The levels of every component. All pointers are borrowed.
template <class T> struct ScalarLevels {
  int64_t n_dims;         // D, at least 1
  const T* thresholds;    // those of all components one after another, increasing within each
  const int64_t* ends;    // (D,): where the thresholds of each component end
  const int32_t* stride;  // (D,): factors of the mixed radix; the largest id is below 2^31
  bool right;             // a threshold is passed by values above it (true), or at it too (false)
};

/// x (n, D) row-major, borrowed; mask (n,) borrowed, 0 for a masked row, or null; ids (n,) written, all of
/// them. Returns the rows that are invalid and not masked.
template <class T>
InvalidRows scalar_ids(const T* x, int64_t n, const ScalarLevels<T>& levels, const uint8_t* mask, int threads,
                       int32_t* ids);

}  // namespace evtok
