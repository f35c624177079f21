// Codes in boxes: a k-d tree of two levels, laid out for vector lanes.
//
// A leaf holds kBoxFan codes that lie near each other, a branch kBoxFan leaves; each has the smallest box
// around its codes. The specification's chain on g = max(fl(lo - x), fl(x - hi), 0), b = fma(g, g, b), is a
// lower bound of s for every code in the box, exactly: |fl(x - c)| >= g since rounding is monotone, and so is
// the chain. A box whose bound is above the best s so far cannot hold the winner, nor a code that ties with
// it.
#pragma once

#include <cstdint>

#include "evtok/code_panels.hpp"

namespace evtok {

inline constexpr int kBoxFan = 16;

/// What a kernel reads, borrowed. Places without a code or a box hold infinity, and the id INT32_MAX.
template <class T> struct BoxView {
  const T* branches;   // (n_branches / kBoxFan, n_dims, 2, kBoxFan): lo and hi of each branch
  const T* leaves;     // (n_filled, n_dims, 2, kBoxFan): lo and hi of the leaves of each branch
  const T* codes;      // (n_filled * kBoxFan, n_dims, kBoxFan)
  const int32_t* ids;  // (n_filled * kBoxFan, kBoxFan)
  int64_t n_branches;  // a multiple of kBoxFan
  int64_t n_filled;    // branches that hold a code: the first ones
  int64_t n_dims;
};

template <class T> class CodeBoxes {
public:
  CodeBoxes() = default;
  /// codes (n_codes, n_dims) row-major, finite, borrowed for this call.
  CodeBoxes(const T* codes, int64_t n_codes, int64_t n_dims);

  /// False before it is given codes.
  bool usable() const { return n_filled_ > 0; }
  BoxView<T> view() const;

  /// True where boxes can be faster than the other routes, and their padding is small beside the codes.
  static bool worth_building(int64_t n_codes, int64_t n_dims) { return n_codes >= 64 && n_dims <= 64; }

private:
  int64_t n_dims_ = 0, n_branches_ = 0, n_filled_ = 0;
  AlignedVector<T> branches_, leaves_, codes_;
  AlignedVector<int32_t> ids_;
};

extern template class CodeBoxes<float>;
extern template class CodeBoxes<double>;

}  // namespace evtok
