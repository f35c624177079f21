// Regular edges, evenly spaced in x or in log x: where a value lies among them follows from a straight line,
// so that most values need no search.
//
// place(x) is a whole number, close to (k + 1) kCell at edge k, and does not fall as x grows, or falls by an
// allowance at most. So place(x) / kCell, rounded down, is the number of edges that x has passed, unless the
// remainder is small: then the edges themselves decide. A place beyond an int32, and that of NaN, is
// INT32_MIN, whose remainder is 0.
//
// Why that is exact. fit_bin_grid verifies for every edge e_k that
//     allowance <= place(e_k) - (k + 1) kCell <= undecided - allowance.
// Let place(x) = c kCell + r with r > undecided. If x <= e_k for a k < c, then place(x) <= place(e_k) +
// allowance
// <= (k + 1) kCell + undecided <= c kCell + undecided, which is less than place(x). If x >= e_k for a k >= c,
// then place(x) >= place(e_k) - allowance >= (k + 1) kCell >= (c + 1) kCell, which is more than place(x). So
// x has passed the edges below c and no other, and equals none: left- and right-closed bins agree.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "evtok/numerics.hpp"

namespace evtok {

enum class Spacing : int32_t { irregular, uniform, logarithmic };

inline constexpr int kCellBits = 20;
inline constexpr int32_t kCell = 1 << kCellBits;

/// A plain struct, so that files compiled for one instruction set can use it. Built by fit_bin_grid.
struct BinGrid {
  Spacing spacing = Spacing::irregular;
  float scale = 0,
        shift = 0;  // place = scale * x + shift, or scale * log2(x) + shift, in one rounding, then to nearest
  int32_t undecided = 0;  // remainders up to this are left to the edges
};

/// log2(m) - m - 126 for m in [1, 2): coefficients of a polynomial of degree 6, from the highest. Its
/// greatest deviation was made least by weighted least squares, 1.8e-6.
inline constexpr float kLog2Polynomial[] = {-0x1.a4ec38p-6F, 0x1.19c09ap-2F, -0x1.4454c4p+0F, 0x1.a4acfep+1F,
                                            -0x1.55e32ap+2F, 0x1.473accp+2F, -0x1.021480p+7F};

/// |approximate_log2(x) - log2(x)| is below this for every normal x > 0. From the polynomial 1.9e-6, the
/// rounding of the bits 7.7e-6, of the polynomial 5.2e-6 and of the sum 3.9e-6; the greatest of all floats
/// is 1.6e-5.
inline constexpr double kLog2Error = 2e-5;

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

inline int32_t grid_place(float x, const BinGrid& grid) {
  const float line = grid.spacing == Spacing::logarithmic ? approximate_log2(x) : x;
  const float place = std::fma(line, grid.scale, grid.shift);
  return std::abs(place) < 0x1p31F ? static_cast<int32_t>(std::nearbyint(place)) : INT32_MIN;
}

/// The grid of edges (n_edges,), increasing, borrowed; irregular where no grid would decide nearly every
/// value.
BinGrid fit_bin_grid(const float* edges, int64_t n_edges);

}  // namespace evtok
