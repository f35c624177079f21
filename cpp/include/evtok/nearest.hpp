// Nearest code: each row of x (n, D) to the code of a codebook (K, D) that it is nearest to.
//
// Contract, in the dtype T of both (float32 or float64):
//   l2    s = 0; for j in 0..D-1: t = fl(x[j] - c[j]); s = fma(t, t, s)      the smallest s is nearest
//   dot   p = 0; for j in 0..D-1: p = fma(x[j], c[j], p)                      the largest p is nearest
// Equal values go to the lowest index, so k > 1 neighbours come in the lexicographic order of (s, index).
// Cosine is dot with codes that were normalised once (normalise_codes).
//   A row is refused that is masked, holds NaN or infinity, or is zero (cosine), and one of which all s
//   overflow or
// any p does. It gets id -1 and NaN for values; the faults are counted (RowFaults).
//
// Every kernel decides by this chain. Lanes run across codes or rows, never across j, so the bits are the
// same on every instruction set, for any batch and any number of threads.
#pragma once

#include <cstdint>

#include "evtok/code_boxes.hpp"
#include "evtok/code_panels.hpp"
#include "evtok/nearest_coarse.hpp"
#include "evtok/nearest_filter.hpp"
#include "evtok/numerics.hpp"

namespace evtok {

enum class Metric { l2, dot, cosine };

/// Rows of x, borrowed.
template <class T> struct RowsView {
  const T* x;           // (n, n_dims) row-major
  int64_t n;            // rows
  const uint8_t* mask;  // (n,), 0 skips the row; or null
};

/// What the search writes, owned by the caller.
template <class T> struct Neighbours {
  int64_t k;     // neighbours a row, 1 to n_codes
  int32_t* ids;  // (n, k) row-major
  T* values;     // (n, k): s for l2, p else; or null
  T* margin;     // (n,): how much further the second neighbour is than the first, >= 0; or null
};

enum class RowFault : uint8_t { none = 0, masked = 1, not_finite = 2, zero = 3, overflow = 4 };

/// The rows that were refused for their values (masked ones are not counted).
struct RowFaults {
  int64_t count = 0;
  int64_t first = -1;  // index of the first of them
  RowFault reason = RowFault::none;
};

/// Divides each code by its norm: the norm and the quotient in float64, the quotient rounded once. Returns
/// the first code without a direction (its norm is 0 or overflows), or -1. codes (n_codes, n_dims) row-major,
/// normalised (n_codes, n_dims) written by this call.
template <class T> int64_t normalise_codes(const T* codes, int64_t n_codes, int64_t n_dims, T* normalised);

/// A codebook prepared for lookup: immutable, so any number of threads may search it.
template <class T> class CodeSearch {
public:
  /// Copies codes (n_codes, n_dims) row-major, which must be finite. Throws std::invalid_argument for an
  /// empty codebook, std::length_error for 2^31 codes or more.
  CodeSearch(const T* codes, int64_t n_codes, int64_t n_dims, Metric metric);

  int64_t n_codes() const { return panels_.n_codes(); }
  int64_t n_dims() const { return panels_.n_dims(); }

  RowFaults search(const RowsView<T>& rows, const Neighbours<T>& out, int threads) const;

private:
  RowFault fault_of(const T* row) const;

  CodePanels<T> panels_;
  CodeBoxes<T> boxes_;
  FilterCodes<T> filter_;
  CoarseCodes<T> coarse_;
  Metric metric_;
  T largest_;  // largest |c[j]|
};

extern template class CodeSearch<float>;
extern template class CodeSearch<double>;

}  // namespace evtok
