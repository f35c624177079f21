// log, asinh and atan2 of float64, the same bits on every machine.
//
// Only + - * /, square root and comparisons of IEEE 754 float64 are used, in the order written, and nothing
// is fused; no library's function is called. Errors against the true function are at most 1 ulp for log and 2
// ulp for asinh and atan2; the largest that tests have met are 0.8, 1.2 and 1.3. Results rounded once to
// float32 are correctly rounded but for a few of all inputs (log: 5 of the 2^31 positive numbers).
// evtok.reference has the same definitions in Python.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "evtok/angles.hpp"
#include "evtok/numerics.hpp"

namespace evtok {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

EVTOK_FORMULA uint64_t bits_of(double x) {
#if defined(__CUDA_ARCH__)
  return static_cast<uint64_t>(__double_as_longlong(x));
#else
  return std::bit_cast<uint64_t>(x);
#endif
}

EVTOK_FORMULA double from_bits(uint64_t bits) {
#if defined(__CUDA_ARCH__)
  return __longlong_as_double(static_cast<long long>(bits));
#else
  return std::bit_cast<double>(bits);
#endif
}

EVTOK_FORMULA bool is_finite(double x) {
  return (bits_of(x) << 1) < 0xFFE0000000000000u;
}
EVTOK_FORMULA bool sign_bit(double x) {
  return bits_of(x) >> 63 != 0;
}
EVTOK_FORMULA double magnitude(double x) {
  return from_bits(bits_of(x) & 0x7FFFFFFFFFFFFFFFu);
}
EVTOK_FORMULA double with_sign_of(double size, double sign) {
  return sign_bit(sign) ? -size : size;
}

/// 2^exponent for a normal result, -1022 <= exponent <= 1023.
EVTOK_FORMULA double power_of_two(int exponent) {
  return from_bits(static_cast<uint64_t>(exponent + 1023) << 52);
}

/// A positive number as fraction * 2^exponent with 1 <= fraction < 2.
struct Scaled {
  double fraction;
  int exponent;
};

/// x positive and finite; subnormal numbers too.
EVTOK_FORMULA Scaled scaled(double x) {
  const bool subnormal = x < 0x1p-1022;
  const uint64_t bits = bits_of(subnormal ? x * 0x1p54 : x);
  const int exponent = static_cast<int>(bits >> 52) - 1023 - (subnormal ? 54 : 0);
  return {from_bits((bits & 0x000FFFFFFFFFFFFFu) | 0x3FF0000000000000u), exponent};
}

/// x * 2^exponent for |exponent| <= 1200, and 0 below that: exact, but for one rounding to a subnormal number
/// or to infinity where x is near 1.
EVTOK_FORMULA double unscaled(double x, int exponent) {
  if (exponent < -1200) return 0.0;
  const int half = exponent / 2;
  return x * power_of_two(half) * power_of_two(exponent - half);
}

inline constexpr double kLn2High =
    0x1.62e42fee00000p-1;  // 32 bits, so that its product with an exponent is exact
inline constexpr double kLn2Low = 0x1.a39ef35793c76p-33;

/// log(2^k * (1 + f)) + correction for sqrt(1/2) - 1 <= f <= sqrt(2) - 1 and a correction below an ulp of the
/// result. With s = f / (2 + f), log(1 + f) = 2 atanh(s) = f - (h - s * (h + R)), where h = f^2 / 2 and R =
/// 2/3 s^2 + 2/5 s^4 + ...; the terms left out are below 2^-60 of the result.
EVTOK_FORMULA double log_near_one(int k, double f, double correction) {
  const double s = f / (2.0 + f);
  const double z = s * s;
  double r = 2.0 / 21.0;
  r = 2.0 / 19.0 + z * r;
  r = 2.0 / 17.0 + z * r;
  r = 2.0 / 15.0 + z * r;
  r = 2.0 / 13.0 + z * r;
  r = 2.0 / 11.0 + z * r;
  r = 2.0 / 9.0 + z * r;
  r = 2.0 / 7.0 + z * r;
  r = 2.0 / 5.0 + z * r;
  r = 2.0 / 3.0 + z * r;
  const double h = 0.5 * f * f;
  return k * kLn2High - ((h - (s * (h + z * r) + (k * kLn2Low + correction))) - f);
}

/// log(x * 2^extra) + correction for positive finite x.
EVTOK_FORMULA double log_scaled(double x, int extra, double correction) {
  const Scaled parts = scaled(x);
  const bool upper = parts.fraction > 0x1.6a09e667f3bcdp+0;  // sqrt(2)
  const double fraction = upper ? 0.5 * parts.fraction : parts.fraction;
  return log_near_one(parts.exponent + extra + (upper ? 1 : 0), fraction - 1.0, correction);
}

/// Natural logarithm: -inf at zeros of both signs, NaN below them and of NaN, +inf of +inf.
EVTOK_FORMULA double natural_log(double x) {
  if (x > 0 && is_finite(x)) return log_scaled(x, 0, 0.0);
  if (x == 0) return -kInfinity;
  return x > 0 ? x : kNaN;
}

/// asinh(fraction * 2^exponent) for 1/3 < fraction < 2: log(t + sqrt(t^2 + 1)), arranged by the size of t.
EVTOK_FORMULA double asinh_scaled(double fraction, int exponent) {
  if (exponent < -30) return unscaled(fraction, exponent);  // the next term, t^3 / 6, is below 2^-60 t
  if (exponent > 60)
    return log_scaled(fraction, exponent + 1, 0.0);  // log(2 t); the next term is below 2^-120
  const double t = unscaled(fraction, exponent);
  const double root = std::sqrt(t * t + 1.0);
  if (t > 2.0) return log_scaled(2.0 * t + 1.0 / (root + t), 0, 0.0);
  // log(1 + y) with y = t + rest, as a sum y + y_low without rounding error.
  const double rest = t * t / (1.0 + root);
  const double y = t + rest;
  const double y_low = (t - y) + rest;
  if (y < 0x1.a8p-2) return log_near_one(0, y, y_low / (1.0 + y));
  const double u = 1.0 + y;
  const double u_low = (1.0 - (u - (u - 1.0))) + (y - (u - 1.0));
  return log_scaled(u, 0, (u_low + y_low) / u);
}

/// Inverse hyperbolic sine; zeros and infinities keep their sign.
EVTOK_FORMULA double inverse_sinh(double x) {
  if (x == 0 || !is_finite(x)) return x;
  const Scaled t = scaled(magnitude(x));
  return with_sign_of(asinh_scaled(t.fraction, t.exponent), x);
}

inline constexpr double kHalfPi = 0x1.921fb54442d18p+0, kHalfPiLow = 0x1.1a62633145c07p-54;

/// atan(a / b) for 0 <= a <= b, b > 0: with c the multiple of 1/4 nearest to a / b,
/// atan(a / b) = atan(c) + atan((a - c b) / (b + c a)), whose argument z is at most 1/8, summed as a power
/// series.
EVTOK_FORMULA double atan_of_ratio(double a, double b) {
  if (b > 0x1p1000) {
    a *= 0.25;  // b + c a must not overflow
    b *= 0.25;
  } else if (b < 0x1p-900) {
    a *= 0x1p200;  // products with c must be exact
    b *= 0x1p200;
  }
  const int quarters = static_cast<int>(4.0 * (a / b) + 0.5);
  // The numerator is exact: each product is one with a power of two, each difference one of near numbers.
  const double whole_halves = 0.5 * (quarters >> 1), odd_quarter = 0.25 * (quarters & 1);
  const double numerator = (a - whole_halves * b) - odd_quarter * b;
  const double z = numerator / (b + 0.25 * quarters * a);
  const double high = quarters == 0   ? 0.0
                      : quarters == 1 ? 0x1.f5b75f92c80ddp-3
                      : quarters == 2 ? 0x1.dac670561bb4fp-2
                      : quarters == 3 ? 0x1.4978fa3269ee1p-1
                                      : 0x1.921fb54442d18p-1;
  const double low = quarters == 0   ? 0.0
                     : quarters == 1 ? 0x1.8ab6e3cf7afbdp-57
                     : quarters == 2 ? 0x1.a2b7f222f65e2p-56
                     : quarters == 3 ? 0x1.2419a87f2a458p-56
                                     : 0x1.1a62633145c07p-55;
  const double w = z * z;
  double p = 1.0 / 19.0;
  p = 1.0 / 17.0 - w * p;
  p = 1.0 / 15.0 - w * p;
  p = 1.0 / 13.0 - w * p;
  p = 1.0 / 11.0 - w * p;
  p = 1.0 / 9.0 - w * p;
  p = 1.0 / 7.0 - w * p;
  p = 1.0 / 5.0 - w * p;
  p = 1.0 / 3.0 - w * p;
  return high - ((z * (w * p) - low) - z);
}

/// The angle of (x, y) in [-pi, pi] with the signs of C's atan2, also at zeros; NaN where x or y is not
/// finite.
EVTOK_FORMULA double arc_tangent(double y, double x) {
  if (!is_finite(x) || !is_finite(y)) return kNaN;
  const double across = magnitude(x), up = magnitude(y);
  const bool steep = up > across;
  const double larger = steep ? up : across, smaller = steep ? across : up;
  double angle = larger == 0 ? 0.0 : atan_of_ratio(smaller, larger);
  if (steep && sign_bit(x))
    angle = (kHalfPi + angle) + kHalfPiLow;
  else if (steep)
    angle = (kHalfPi - angle) + kHalfPiLow;
  else if (sign_bit(x))
    angle = (2.0 * kHalfPi - angle) + 2.0 * kHalfPiLow;
  return with_sign_of(angle, y);
}

}  // namespace evtok
