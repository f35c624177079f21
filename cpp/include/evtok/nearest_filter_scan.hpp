// The kernels of the filter (nearest_filter.hpp) over the integer lanes of an instruction set. No STL here.
#pragma once

#include <cstdint>

#include "evtok/nearest_filter.hpp"

namespace evtok {

/// kRows rows: the estimates of kVectors vectors of codes at once in registers, their minima kept for each
/// group.
template <class Lanes, int kRows, int kVectors>
EVTOK_FORMULA void filter_tile(const FilterView& codes, const int16_t* x, int64_t stride, int32_t* minima) {
  using Vector = typename Lanes::Vector;
  constexpr int kPanels = kVectors * Lanes::width / kFilterPanel;  // panels of a step
  const int64_t panel_values = codes.n_pairs * kFilterPanel * 2;
  const int16_t* c = codes.codes;
  const int32_t* bias = codes.bias;
  for (int64_t group = 0; group < codes.n_groups; ++group) {
    Vector smallest[kRows];
    for (Vector& value : smallest) value = Lanes::all(INT32_MAX);
    for (int64_t panel = 0; panel < codes.group_panels; panel += kPanels) {
      Vector estimate[kRows][kVectors];
      for (int v = 0; v < kVectors; ++v) {
        const Vector start = Lanes::load(bias + v * Lanes::width);
        for (int r = 0; r < kRows; ++r) estimate[r][v] = start;
      }
      for (int64_t pair = 0; pair < codes.n_pairs; ++pair) {
        Vector code[kVectors];
        for (int v = 0; v < kVectors; ++v) {
          const int place = v * Lanes::width;
          code[v] = Lanes::load_pairs(c + (place / kFilterPanel) * panel_values + pair * kFilterPanel * 2 +
                                      (place % kFilterPanel) * 2);
        }
        for (int r = 0; r < kRows; ++r) {
          const Vector row = Lanes::all_pairs(x + (r * codes.n_pairs + pair) * 2);
          for (int v = 0; v < kVectors; ++v)
            estimate[r][v] = Lanes::add_products(estimate[r][v], row, code[v]);
        }
      }
      for (int r = 0; r < kRows; ++r)
        for (int v = 0; v < kVectors; ++v) smallest[r] = Lanes::min(smallest[r], estimate[r][v]);
      c += kPanels * panel_values;
      bias += kPanels * kFilterPanel;
    }
    for (int r = 0; r < kRows; ++r) Lanes::store(minima + (r * stride + group) * Lanes::width, smallest[r]);
  }
}

template <class Lanes>
EVTOK_FORMULA void filter_minima(const FilterView& codes, const int16_t* x, int64_t n_rows, int64_t stride,
                                 int32_t* minima) {
  const int64_t row_values = codes.n_pairs * 2, row_minima = stride * Lanes::width;
  int64_t row = 0;
  for (; row + Lanes::tile_rows <= n_rows; row += Lanes::tile_rows)
    filter_tile<Lanes, Lanes::tile_rows, Lanes::tile_vectors>(codes, x + row * row_values, stride,
                                                              minima + row * row_minima);
  for (; row < n_rows; ++row)
    filter_tile<Lanes, 1, Lanes::tile_vectors>(codes, x + row * row_values, stride,
                                               minima + row * row_minima);
}

template <class Lanes> EVTOK_FORMULA int32_t filter_smallest(const int32_t* minima, int64_t n_groups) {
  typename Lanes::Vector smallest = Lanes::all(INT32_MAX);
  for (int64_t group = 0; group < n_groups; ++group)
    smallest = Lanes::min(smallest, Lanes::load(minima + group * Lanes::width));
  return Lanes::smallest_lane(smallest);
}

template <class Lanes>
EVTOK_FORMULA int64_t filter_groups(const int32_t* minima, int64_t n_groups, int32_t threshold,
                                    int32_t* groups) {
  const typename Lanes::Vector limit = Lanes::all(threshold);
  int64_t found = 0;
  for (int64_t group = 0; group < n_groups; ++group) {
    groups[found] = static_cast<int32_t>(group);
    found += Lanes::any_within(Lanes::load(minima + group * Lanes::width), limit) ? 1 : 0;
  }
  return found;
}

}  // namespace evtok
