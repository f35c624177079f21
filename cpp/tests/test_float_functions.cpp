// exp and log of float32 against those of float64. Tolerance class: the errors that float_functions.hpp
// states.
//
// Every so many of the arguments are taken; with EVTOK_EXHAUSTIVE=1 in the environment, all of them.
#include "evtok/float_functions.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include "check.hpp"

namespace {

using namespace evtok;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

uint32_t stride() {
  return std::getenv("EVTOK_EXHAUSTIVE") != nullptr ? 1 : 1009;
}

// |found - truth| in units of the last place of a float32 of that size.
double error_in_ulp(float found, double truth) {
  const int exponent = std::max(std::ilogb(truth), -126);
  return std::abs(static_cast<double>(found) - truth) / std::ldexp(1.0, exponent - 23);
}

float value(uint32_t bits) {
  return std::bit_cast<float>(bits);
}

void test_exponential() {
  double worst = 0, worst_subnormal = 0;
  for (const uint32_t sign : {0U, 0x80000000U}) {
    for (uint64_t bits = 0; bits < 0x7F800000U; bits += stride()) {
      const float x = value(static_cast<uint32_t>(bits) | sign);
      const float found = exponential<FloatLane>(x);
      const double truth = std::exp(static_cast<double>(x));
      if (truth >= 0x1.ffffffp+127 || truth < 0x1p-150) {
        if (found != (truth < 1 ? 0.0F : kInf)) worst = kInf;
        continue;
      }
      double& of_kind = truth < 0x1p-126 ? worst_subnormal : worst;
      of_kind = std::max(of_kind, error_in_ulp(found, truth));
    }
  }
  std::printf("exp: %.4f ulp, %.4f of a subnormal result\n", worst, worst_subnormal);
  CHECK(worst < 0.85);
  CHECK(worst_subnormal < 0.8);
  CHECK(exponential<FloatLane>(0.0F) == 1.0F && exponential<FloatLane>(-0.0F) == 1.0F);
  CHECK(exponential<FloatLane>(kInf) == kInf && exponential<FloatLane>(-kInf) == 0.0F);
  CHECK(exponential<FloatLane>(89.0F) == kInf && exponential<FloatLane>(-104.0F) == 0.0F);
  CHECK(std::isnan(exponential<FloatLane>(kNone)));
}

void test_logarithm() {
  double worst = 0;
  for (uint64_t bits = 1; bits < 0x7F800000U; bits += stride()) {
    const float x = value(static_cast<uint32_t>(bits));
    const float found = logarithm(x);
    const double truth = std::log(static_cast<double>(x));
    if (truth == 0)
      CHECK(found == 0);
    else
      worst = std::max(worst, error_in_ulp(found, truth));
  }
  std::printf("log: %.4f ulp\n", worst);
  CHECK(worst < 0.85);
  CHECK(logarithm(1.0F) == 0.0F && !std::signbit(logarithm(1.0F)));
  CHECK(logarithm(0.0F) == -kInf && logarithm(-0.0F) == -kInf && logarithm(kInf) == kInf);
  CHECK(std::isnan(logarithm(-1.0F)) && std::isnan(logarithm(-kInf)) && std::isnan(logarithm(kNone)));
}

}  // namespace

int main() {
  test_exponential();
  test_logarithm();
  return evtok_test::report();
}
