// Regular edges, evenly spaced in x or in log x: where a value lies among them follows from a straight line,
// so that most values need no search.
//
// place(x) is a whole number, close to (k + 1) kCell at edge k, and does not fall as x grows, or falls by an
// allowance at most. So place(x) / kCell, rounded down, is the number of edges that x has passed, unless the
// remainder is small: then the edges themselves decide. A place beyond an int32, and that of NaN, is
// INT32_MIN, whose remainder is 0.
//
// Why that is exact. fit_bin_grid verifies for every edge e_k that
//
//     allowance <= place(e_k) - (k + 1) kCell <= undecided - allowance.
//
// Let place(x) = c kCell + r with r > undecided. If x <= e_k for a k < c, then
//
//     place(x) <= place(e_k) + allowance <= (k + 1) kCell + undecided <= c kCell + undecided < place(x).
//
// If x >= e_k for a k >= c, then
//
//     place(x) >= place(e_k) - allowance >= (k + 1) kCell >= (c + 1) kCell > place(x).
//
// Neither can be. So x has passed the edges below c and no other, and equals none: left- and right-closed
// bins agree.
//
// The allowance. A line in x with scale > 0 is rounded, and roundings keep an order: it never falls. Where x
// grows, approximate_log2 falls by 2 kLog2Error at most, also from what is not normal and positive to what
// is; scale times that, and what roundings add among the edges, is the allowance.
#pragma once

#include <cstdint>

namespace evtok {

enum class Spacing : int32_t { irregular, uniform, logarithmic };

inline constexpr int kCellBits = 20;
inline constexpr int32_t kCell = 1 << kCellBits;

/// A plain struct, so that files compiled for one instruction set can use it. Built by fit_bin_grid.
struct BinGrid {
  Spacing spacing = Spacing::irregular;
  // place = scale * x + shift, or scale * log2(x) + shift, in one rounding, and then to the nearest integer
  float scale = 0, shift = 0;
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

}  // namespace evtok
