// The routes of the nearest-code search for one block of rows: exhaustive, or behind the filter.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "evtok/code_boxes.hpp"
#include "evtok/code_panels.hpp"
#include "evtok/isa.hpp"
#include "evtok/nearest_boxes.hpp"
#include "evtok/nearest_coarse_search.hpp"
#include "evtok/nearest_filter.hpp"
#include "evtok/nearest_scan.hpp"
#include "evtok/nearest_small.hpp"

namespace evtok {

/// The exhaustive kernel of an instruction set.
template <class T> ScanPanels<T> scan_panels_for(Isa isa, bool dot);

/// A thread's memory for the routes, used for block after block.
template <class T> struct RouteMemory {
  std::vector<T> bounds;           // (n_branches,)
  AlignedVector<int16_t> rounded;  // (rows, n_pairs, 2)
  std::vector<double> slack;       // (rows,); negative where the bound does not cover the row
  AlignedVector<int32_t> minima;   // (rows, n_groups, lanes)
  std::vector<int32_t> groups;     // (n_groups,)
  CoarseMemory<T> coarse;
};

/// What one call has learned about its rows: how many codes and boxes the boxes leave to look at, and how
/// many rows the coarse stage gives up. The result does not depend on it.
struct RouteExperience {
  std::atomic<int64_t> rows = 0, looked_at = 0;
  std::atomic<int64_t> coarse_rows = 0, given_up = 0;
};

/// Finds the neighbours of n_rows valid rows x (n_rows, n_dims) row-major; their lists arrive empty.
template <class T> class BlockSearch {
public:
  /// All are borrowed; `filter` and `coarse` are not used where they are not usable or have no kernel.
  BlockSearch(const CodePanels<T>& panels, const CodeBoxes<T>& boxes, const FilterCodes<T>& filter,
              const CoarseCodes<T>& coarse, bool dot, Isa isa);

  void find(const T* x, int64_t n_rows, const NeighbourLists<T>& lists, RouteMemory<T>& memory,
            RouteExperience& experience) const;

private:
  bool boxes_pay(const RouteExperience& experience) const;
  bool coarse_pays(const RouteExperience& experience) const;
  void through_boxes(const T* x, int64_t n_rows, const NeighbourLists<T>& lists, RouteMemory<T>& memory,
                     RouteExperience& experience) const;
  void without_boxes(const T* x, int64_t n_rows, const NeighbourLists<T>& lists, RouteMemory<T>& memory,
                     RouteExperience& experience) const;
  void every_code(const T* x, int64_t n_rows, const NeighbourLists<T>& lists) const;
  void filtered(const T* x, int64_t n_rows, const NeighbourLists<T>& lists, RouteMemory<T>& memory,
                RouteExperience& experience) const;
  void by_groups(const T* x, int64_t first, int64_t n_rows, const NeighbourLists<T>& lists,
                 RouteMemory<T>& memory) const;
  PanelRange<T> range(int64_t panel, int64_t n) const;

  const CodePanels<T>& panels_;
  const CodeBoxes<T>& boxes_;
  const FilterCodes<T>& filter_;
  ScanPanels<T> scan_;
  ScanPanels<T> scan_small_;  // null where another route is faster
  SearchBoxes<T> search_boxes_;
  const FilterKernels* kernels_;
  CoarseSearch<T> coarse_;
};

extern template class BlockSearch<float>;
extern template class BlockSearch<double>;

}  // namespace evtok
