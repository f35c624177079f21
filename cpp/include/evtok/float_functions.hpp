// exp and log of float32, the same bits on every machine and in every vector lane.
//
// Only fused multiply-adds, + - *, comparisons and whole numbers are used, in the order written; no library's
// function is called, and nothing is an approximation of the CPU's own. Over all float32 arguments the errors
// against the true function are below 0.85 ulp for exp (0.8 ulp of a subnormal result) and for log; the
// test measures them. evtok.reference_scoring has the same definitions in Python.
//
// The functions of lanes are templates over the lanes of an instruction set: FloatLane here, and those of
// float_lanes_*.hpp. No STL, because the files of an instruction set include this.
#pragma once

#include <cstdint>

#include "evtok/numerics.hpp"

namespace evtok {

/// One lane in plain C++: the definition of what the vector lanes do. `min` and `max` give b where one is
/// NaN.
struct FloatLane {
  using Vector = float;
  using Whole = int32_t;
  static constexpr int width = 1;
  static EVTOK_FORMULA float zero() { return 0.0F; }
  static EVTOK_FORMULA float all(float x) { return x; }
  static EVTOK_FORMULA float load(const float* p) { return *p; }
  static EVTOK_FORMULA void store(float* p, float a) { *p = a; }
  static EVTOK_FORMULA float add(float a, float b) { return a + b; }
  static EVTOK_FORMULA float sub(float a, float b) { return a - b; }
  static EVTOK_FORMULA float mul(float a, float b) { return a * b; }
  static EVTOK_FORMULA float div(float a, float b) { return a / b; }
  static EVTOK_FORMULA float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
  static EVTOK_FORMULA float min(float a, float b) { return a < b ? a : b; }
  static EVTOK_FORMULA float max(float a, float b) { return a > b ? a : b; }
  template <int kVectors> static EVTOK_FORMULA float lowest(const float (&s)[kVectors]) {
    float least = s[0];
    for (int v = 1; v < kVectors; ++v) least = min(least, s[v]);
    return least;
  }
  static EVTOK_FORMULA int32_t bits(float a) { return __builtin_bit_cast(int32_t, a); }
  static EVTOK_FORMULA int32_t whole(int32_t i) { return i; }
  static EVTOK_FORMULA int32_t sub_whole(int32_t a, int32_t b) { return a - b; }
  static EVTOK_FORMULA int32_t half(int32_t a) { return a >> 1; }
  /// 2^a for -126 <= a <= 127.
  static EVTOK_FORMULA float power_of_two(int32_t a) { return __builtin_bit_cast(float, (a + 127) << 23); }
};

inline constexpr float kFloatLog2E = 0x1.715476p+0F;
inline constexpr float kFloatLn2High = 0x1.62e430p-1F, kFloatLn2Low = -0x1.05c610p-29F;
inline constexpr float kFloatMagic = 0x1.8p+23F;  // adding it rounds to a whole number, in its last bits
/// Outside of these the result is 0 or infinity.
inline constexpr float kExpLowest = -104.0F, kExpHighest = 89.0F;

/// e^x: 0 below -103.97, infinity above 88.72, NaN of NaN. With n the whole number nearest to x / ln 2 and
/// r = x - n ln 2, e^x = 2^n e^r, where e^r = 1 + r + r^2 q(r); q leaves out less than 2^-28 of the result.
template <class Lanes> EVTOK_FORMULA typename Lanes::Vector exponential(typename Lanes::Vector x) {
  using Vector = typename Lanes::Vector;
  using Whole = typename Lanes::Whole;
  const Vector magic = Lanes::all(kFloatMagic), one = Lanes::all(1.0F);
  x = Lanes::max(Lanes::all(kExpLowest), Lanes::min(Lanes::all(kExpHighest), x));
  const Vector shifted = Lanes::fma(x, Lanes::all(kFloatLog2E), magic);
  const Vector n = Lanes::sub(shifted, magic);
  Vector r = Lanes::fma(n, Lanes::all(-kFloatLn2High), x);
  r = Lanes::fma(n, Lanes::all(-kFloatLn2Low), r);
  Vector p = Lanes::all(0x1.6a2256p-10F);
  p = Lanes::fma(p, r, Lanes::all(0x1.123b02p-7F));
  p = Lanes::fma(p, r, Lanes::all(0x1.5558f8p-5F));
  p = Lanes::fma(p, r, Lanes::all(0x1.555490p-3F));
  p = Lanes::fma(p, r, Lanes::all(0x1.fffffcp-2F));
  p = Lanes::fma(p, r, one);
  p = Lanes::fma(p, r, one);
  // In two steps, so that the result may be subnormal or infinite.
  const Whole whole = Lanes::sub_whole(Lanes::bits(shifted), Lanes::whole(0x4B400000));
  const Whole half = Lanes::half(whole);
  p = Lanes::mul(p, Lanes::power_of_two(half));
  return Lanes::mul(p, Lanes::power_of_two(Lanes::sub_whole(whole, half)));
}

/// Natural logarithm: -infinity at zeros of both signs, NaN below them and of NaN. With x = 2^k (1 + f) and
/// sqrt(1/2) <= 1 + f < sqrt(2), log x = k ln 2 + f - f^2 / 2 + f^3 p(f); p leaves out less than 2^-30 of the
/// result.
EVTOK_FORMULA float logarithm(float x) {
  if (!(x > 0)) return x == 0 ? -__builtin_inff() : __builtin_nanf("");
  if (x > 0x1.fffffep+127F) return x;
  const bool subnormal = x < 0x1p-126F;
  const int32_t bits = __builtin_bit_cast(int32_t, subnormal ? x * 0x1p+24F : x);
  // Counted from sqrt(1/2), the exponent's bits change where 1 + f must.
  const int32_t above = bits - 0x3F3504F3;
  const int32_t k = above >> 23;
  const float f =
      __builtin_bit_cast(float, bits - static_cast<int32_t>(static_cast<uint32_t>(k) << 23)) - 1.0F;
  const float n = static_cast<float>(subnormal ? k - 24 : k);
  float p = 0x1.1457c4p-4F;
  p = __builtin_fmaf(p, f, -0x1.de3c1cp-4F);
  p = __builtin_fmaf(p, f, 0x1.e6f062p-4F);
  p = __builtin_fmaf(p, f, -0x1.fc2206p-4F);
  p = __builtin_fmaf(p, f, 0x1.233768p-3F);
  p = __builtin_fmaf(p, f, -0x1.555c4ep-3F);
  p = __builtin_fmaf(p, f, 0x1.99a4b6p-3F);
  p = __builtin_fmaf(p, f, -0x1.000006p-2F);
  p = __builtin_fmaf(p, f, 0x1.555548p-2F);
  const float square = f * f;
  float rest = __builtin_fmaf(n, kFloatLn2Low, square * f * p);
  rest = __builtin_fmaf(square, -0.5F, rest);
  return __builtin_fmaf(n, kFloatLn2High, f + rest);
}

}  // namespace evtok
