// Owns the edges of one feature and lays them out for the vector search of an instruction set.
#pragma once

#include <cstdint>
#include <vector>

#include "evtok/bins.hpp"

namespace evtok {

template <class T> class BinSearch {
public:
  /// edges (n_edges,) increasing (equal neighbours make empty bins), copied. All codes are kept as they are,
  /// nothing is flagged, stride 1; change table() for anything else. For a few values, as `n_values` may say,
  /// no grid is fitted: that takes some microseconds.
  BinSearch(const T* edges, int64_t n_edges, bool right, Isa isa, int64_t n_values = INT64_MAX);

  BinTable<T>& table() { return table_; }
  const BinTable<T>& table() const { return table_; }

  /// See AccumulateBins.
  void accumulate(const T* x, int64_t n, bool fresh, int32_t* accumulator) const {
    kernel_(x, n, table_, fresh, accumulator);
  }

  /// See SumBins.
  bool sum(const T* x, int64_t n, bool fresh, int32_t* accumulator) const {
    return sum_(x, n, table_, fresh, accumulator);
  }

  // table_ points into the vectors, whose memory moves along with the object but is not shared by a copy.
  BinSearch(BinSearch&&) = default;
  BinSearch& operator=(BinSearch&&) = default;
  BinSearch(const BinSearch&) = delete;
  BinSearch& operator=(const BinSearch&) = delete;

private:
  template <class U> void lay_out(std::vector<U>& coarse, std::vector<U>& fine) const;

  std::vector<T> edges_, coarse_, fine_;
  std::vector<float> coarse32_, fine32_;
  BinTable<T> table_;
  AccumulateBins<T> kernel_;
  SumBins<T> sum_;
};

extern template class BinSearch<float>;
extern template class BinSearch<double>;

}  // namespace evtok
