// The search of a small codebook of few dimensions for one neighbour (l2): every code, with no branch that
// depends on the row, so that nothing is mispredicted and rows overlap in the processor.
//
// Templates over the lanes of an instruction set, as in nearest_scan.hpp; no STL here.
#pragma once

#include <cstdint>

#include "evtok/nearest_scan.hpp"
#include "evtok/numerics.hpp"

namespace evtok {

inline constexpr int64_t kSmallDims = 8;
/// Above so many codes, boxes or the filter are faster (measured).
inline constexpr int64_t kSmallCodes = 96;

/// For each of n_rows rows x (n_rows, n_dims) row-major, n_dims <= kSmallDims: the one list entry.
template <class Lanes, int kDims>
__attribute__((noinline)) void scan_small_of(const PanelRange<typename Lanes::Value>& codes,
                                             const typename Lanes::Value* x, int64_t n_rows,
                                             const NeighbourLists<typename Lanes::Value>& lists) {
  using T = typename Lanes::Value;
  using Vector = typename Lanes::Vector;
  constexpr int kWidth = Lanes::width, kVectors = kPanelCodes / kWidth;
  const auto distances = [&](int64_t panel, const Vector(&all)[kDims],
                             Vector(&s)[kVectors]) __attribute__((always_inline)) {
    const T* c = codes.values + panel * kDims * kPanelCodes;
    for (Vector& value : s) value = Lanes::zero();
    for (int j = 0; j < kDims; ++j)
      for (int v = 0; v < kVectors; ++v) {
        const Vector t = Lanes::sub(all[j], Lanes::load(c + j * kPanelCodes + v * kWidth));
        s[v] = Lanes::fma(t, t, s[v]);
      }
  };
  for (int64_t row = 0; row < n_rows; ++row) {
    Vector all[kDims], s[kVectors];
    for (int j = 0; j < kDims; ++j) all[j] = Lanes::all(x[row * kDims + j]);
    // In each lane the smallest s, and the first panel that has it.
    Vector best = Lanes::all(static_cast<T>(__builtin_inff()));
    typename Lanes::Index panels = Lanes::index(0);
    for (int64_t panel = 0; panel < codes.n_panels; ++panel) {
      distances(panel, all, s);
      Vector least = s[0];
      for (int v = 1; v < kVectors; ++v) least = Lanes::min(least, s[v]);
      panels = Lanes::where_less(least, best, Lanes::index(static_cast<int32_t>(panel)), panels);
      best = Lanes::min(best, least);
    }
    const Vector of_lanes[1] = {best};
    const T lowest = Lanes::lowest(of_lanes);
    typename Lanes::IndexValue first[kWidth];
    Lanes::store_index(first, panels);
    int64_t panel = codes.n_panels;
    for (uint32_t ties = Lanes::within(of_lanes, Lanes::all(lowest)); ties != 0; ties &= ties - 1) {
      const int64_t other = first[__builtin_ctz(ties)];
      panel = other < panel ? other : panel;
    }
    distances(panel, all, s);
    lists.values[row] = lowest;
    lists.ids[row] =
        static_cast<int32_t>(panel * kPanelCodes + __builtin_ctz(Lanes::within(s, Lanes::all(lowest))));
    lists.found[row] = 1;
  }
}

template <class Lanes>
EVTOK_FORMULA void scan_small(const PanelRange<typename Lanes::Value>& codes, const typename Lanes::Value* x,
                              int64_t n_rows, const NeighbourLists<typename Lanes::Value>& lists) {
  switch (codes.n_dims) {
  case 1:
    return scan_small_of<Lanes, 1>(codes, x, n_rows, lists);
  case 2:
    return scan_small_of<Lanes, 2>(codes, x, n_rows, lists);
  case 3:
    return scan_small_of<Lanes, 3>(codes, x, n_rows, lists);
  case 4:
    return scan_small_of<Lanes, 4>(codes, x, n_rows, lists);
  case 5:
    return scan_small_of<Lanes, 5>(codes, x, n_rows, lists);
  case 6:
    return scan_small_of<Lanes, 6>(codes, x, n_rows, lists);
  case 7:
    return scan_small_of<Lanes, 7>(codes, x, n_rows, lists);
  default:
    return scan_small_of<Lanes, 8>(codes, x, n_rows, lists);
  }
}

void scan_small_f32_avx2(const PanelRange<float>&, const float*, int64_t, const NeighbourLists<float>&);
void scan_small_f64_avx2(const PanelRange<double>&, const double*, int64_t, const NeighbourLists<double>&);
void scan_small_f32_avx512(const PanelRange<float>&, const float*, int64_t, const NeighbourLists<float>&);
void scan_small_f64_avx512(const PanelRange<double>&, const double*, int64_t, const NeighbourLists<double>&);

#define EVTOK_DEFINE_SMALL(isa, Lanes32, Lanes64)                                                            \
  void scan_small_f32_##isa(const PanelRange<float>& codes, const float* x, int64_t n_rows,                  \
                            const NeighbourLists<float>& lists) {                                            \
    scan_small<Lanes32>(codes, x, n_rows, lists);                                                            \
  }                                                                                                          \
  void scan_small_f64_##isa(const PanelRange<double>& codes, const double* x, int64_t n_rows,                \
                            const NeighbourLists<double>& lists) {                                           \
    scan_small<Lanes64>(codes, x, n_rows, lists);                                                            \
  }

}  // namespace evtok
