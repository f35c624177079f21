// Differences of angles, the one definition for every kernel.
#pragma once

#include <cmath>

#include "evtok/numerics.hpp"

namespace evtok {

inline constexpr double kPi = 3.14159265358979311600;  // the float64 nearest to pi
inline constexpr double kTwoPi = 6.28318530717958623200;

/// Wraps an angle to [-pi, pi], bit for bit NumPy's float64 `(x + pi) % (2 * pi) - pi`. Of real numbers the
/// result would lie below pi; rounded, it is exactly +pi for x just below -pi, where x + pi + 2 pi rounds to
/// 2 pi.
EVTOK_FORMULA double wrap_angle(double x) {
  const double y = x + kPi;
  double r;
  if (y >= 0 && y < kTwoPi)
    r = y;
  else if (y >= kTwoPi && y < 2 * kTwoPi)
    r = y - kTwoPi;  // exact (Sterbenz)
  else
    r = std::fmod(y, kTwoPi);  // exact by IEEE 754
  if (r < 0) r += kTwoPi;
  return r - kPi;
}

}  // namespace evtok
