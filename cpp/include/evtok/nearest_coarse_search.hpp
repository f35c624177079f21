// The search of a block of rows behind the coarse stage (nearest_coarse.hpp).
#pragma once

#include <cstdint>
#include <vector>

#include "evtok/nearest_coarse.hpp"
#include "evtok/nearest_filter.hpp"
#include "evtok/nearest_scan.hpp"

namespace evtok {

/// A thread's memory for the search, used for block after block.
template <class T> struct CoarseMemory {
  struct Code {
    int32_t id, estimate;  // e
  };
  AlignedVector<uint8_t> bytes;   // (rows, n_quads, 4)
  std::vector<double> errors;     // (rows,)
  AlignedVector<int32_t> minima;  // (rows, n_groups, lanes)
  std::vector<int32_t> cells;     // (n_groups * lanes,): codes whose estimates share a minimum
  AlignedVector<int16_t> row;     // (n_padded,): one row's integers
  std::vector<int32_t> batch;     // ids that get their estimates together
  std::vector<int32_t> products;  // of the batch
  std::vector<Code> left;         // of one row
  // Of all rows, in their order: what is left to the specification.
  std::vector<ChainPair<T>> pairs;
  std::vector<int32_t> rows, ids;
  std::vector<T> values;
};

/// The rows of a block as FilterCodes::round_row left them; borrowed.
struct RoundedRows {
  const int16_t* integers;  // (rows, n_pairs, 2)
  const double* slack;      // (rows,); negative where the filter's bound does not cover the row
};

template <class T> class CoarseSearch {
public:
  /// Borrowed; not usable where `coarse` is not, or the instruction set has no kernels.
  CoarseSearch(const CoarseCodes<T>& coarse, const FilterCodes<T>& filter, bool dot, Isa isa);

  bool usable() const { return kernels_ != nullptr; }

  /// Finds the one neighbour of each row x (n_rows, n_dims). A row that the bounds do not cover, or leave
  /// with too many codes, keeps its empty list. Returns the number of those.
  int64_t find(const T* x, int64_t n_rows, const RoundedRows& rounded, const NeighbourLists<T>& lists,
               CoarseMemory<T>& memory) const;

private:
  bool codes_left(const int32_t* minima, double slack, double error, CoarseMemory<T>& memory) const;
  void add_codes(int64_t cell, std::vector<int32_t>& ids) const;
  void estimate(CoarseMemory<T>& memory) const;
  void decide(const NeighbourLists<T>& lists, CoarseMemory<T>& memory) const;

  const CoarseCodes<T>& coarse_;
  const FilterCodes<T>& filter_;
  bool dot_;
  const CoarseKernels* kernels_;
  const FilterKernels* lanes_;
};

extern template class CoarseSearch<float>;
extern template class CoarseSearch<double>;

}  // namespace evtok
