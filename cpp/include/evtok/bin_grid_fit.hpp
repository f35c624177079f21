// The definition of a place on a grid of edges, and the grid that edges have. Not for files of an instruction
// set, which take bin_grid.hpp alone.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "evtok/bin_grid.hpp"

namespace evtok {

/// log2(x) by the bits of x, which are 2^23 (127 + exponent + mantissa - 1) as an integer. What is not normal
/// and positive has a place of its own: zero, subnormal and negative numbers lie below all others, infinity
/// above. NaN has any.
inline float approximate_log2(float x) {
  const int32_t bits = std::bit_cast<int32_t>(x);
  const float m = std::bit_cast<float>((bits & 0x7FFFFF) | 0x3F800000);
  float q = kLog2Polynomial[0];
  for (int i = 1; i < 7; ++i) q = std::fma(q, m, kLog2Polynomial[i]);
  return std::fma(static_cast<float>(bits), 0x1p-23F, q);
}

/// The place of x on a grid, as bin_grid.hpp has it.
inline int32_t grid_place(float x, const BinGrid& grid) {
  const float line = grid.spacing == Spacing::logarithmic ? approximate_log2(x) : x;
  const float place = std::fma(line, grid.scale, grid.shift);
  return std::abs(place) < 0x1p31F ? static_cast<int32_t>(std::nearbyint(place)) : INT32_MIN;
}

/// The grid of edges (n_edges,), increasing, borrowed; irregular where no grid would decide nearly every
/// value.
BinGrid fit_bin_grid(const float* edges, int64_t n_edges);

}  // namespace evtok
