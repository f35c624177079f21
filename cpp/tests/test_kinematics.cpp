#include "evtok/kinematics.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "check.hpp"

using namespace evtok;

namespace {

constexpr double kTiny = std::numeric_limits<double>::denorm_min();
constexpr double kMax = std::numeric_limits<double>::max();

// Distance in units in the last place of `expected`, a value of long double arithmetic.
double ulps(double value, long double expected) {
  const double rounded = static_cast<double>(expected);
  if (std::isinf(rounded)) return value == rounded ? 0.0 : kInfinity;
  const double ulp = std::nextafter(std::abs(rounded), kInfinity) - std::abs(rounded);
  return static_cast<double>(std::abs(static_cast<long double>(value) - expected) /
                             static_cast<long double>(ulp));
}

// Positive numbers of every size, and more of them near 1.
std::vector<double> positive_numbers() {
  std::vector<double> numbers = {kTiny,     0x1p-1022, 1.0,     kMax,  0x1.6a09e667f3bcdp+0,
                                 0x1.a8p-2, 2.0,       0x1p-30, 0x1p60};
  uint64_t state = 1;
  for (int i = 0; i < 300'000; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const double fraction = 1.0 + static_cast<double>(state >> 11) * 0x1p-53;
    const int exponent =
        i % 3 == 0 ? static_cast<int>(state % 2046) - 1022 : static_cast<int>(state % 12) - 8;
    numbers.push_back(std::ldexp(fraction, exponent));
  }
  return numbers;
}

void special_values() {
  CHECK(natural_log(1.0) == 0.0);
  CHECK(natural_log(0.0) == -kInfinity && natural_log(-0.0) == -kInfinity);
  CHECK(natural_log(kInfinity) == kInfinity);
  CHECK(std::isnan(natural_log(-1.0)) && std::isnan(natural_log(-kInfinity)) &&
        std::isnan(natural_log(kNaN)));
  CHECK(std::signbit(inverse_sinh(-0.0)) && inverse_sinh(-kInfinity) == -kInfinity &&
        std::isnan(inverse_sinh(kNaN)));
  CHECK(inverse_sinh(kTiny) == kTiny && inverse_sinh(-0x1p-1000) == -0x1p-1000);
  for (const double y : {0.0, -0.0, 1.0, -1.0, kTiny, kMax, -kMax})
    for (const double x : {0.0, -0.0, 1.0, -1.0, kTiny, -kTiny, kMax, -kMax}) {
      const double angle = arc_tangent(y, x);
      CHECK(std::abs(angle - std::atan2(y, x)) <= 4e-16);
      CHECK(std::signbit(angle) == std::signbit(y));
    }
  CHECK(std::isnan(arc_tangent(kInfinity, 1.0)) && std::isnan(arc_tangent(1.0, kNaN)));
}

void errors_are_bounded() {
  double log_error = 0, asinh_error = 0, angle_error = 0;
  const std::vector<double> numbers = positive_numbers();
  for (size_t i = 0; i + 1 < numbers.size(); ++i) {
    const double x = numbers[i], y = numbers[i + 1];
    log_error = std::fmax(log_error, ulps(natural_log(x), std::log(static_cast<long double>(x))));
    asinh_error = std::fmax(asinh_error, ulps(inverse_sinh(x), std::asinh(static_cast<long double>(x))));
    for (const double s : {1.0, -1.0})
      angle_error = std::fmax(angle_error,
                              ulps(arc_tangent(y, s * x),
                                   std::atan2(static_cast<long double>(y), static_cast<long double>(s * x))));
  }
  std::printf("largest errors in ulp: log %.3f, asinh %.3f, atan2 %.3f\n", log_error, asinh_error,
              angle_error);
  CHECK(log_error <= 1.0);
  CHECK(asinh_error <= 2.0);
  CHECK(angle_error <= 2.0);
}

void momenta_of_any_size() {
  double pt_error = 0, eta_error = 0;
  const std::vector<double> numbers = positive_numbers();
  for (size_t i = 0; i + 2 < numbers.size(); ++i) {
    const long double x = numbers[i], y = numbers[i + 1], z = numbers[i + 2];
    const PtEtaPhi result = pt_eta_phi(numbers[i], -numbers[i + 1], -numbers[i + 2]);
    const long double pt = std::sqrt(x * x + y * y);
    pt_error = std::fmax(pt_error, ulps(result.pt, pt));
    eta_error = std::fmax(eta_error, ulps(-result.eta, std::asinh(z / pt)));
  }
  std::printf("largest errors in ulp: pt %.3f, eta %.3f\n", pt_error, eta_error);
  CHECK(pt_error <= 2.0);
  CHECK(eta_error <= 5.0);
  CHECK(pt_eta_phi(kMax, kMax, kMax).pt == kInfinity);
  CHECK(ulps(pt_eta_phi(kMax, kMax, kMax).eta, std::asinh(1.0L / std::sqrt(2.0L))) <= 5);
  CHECK(ulps(pt_eta_phi(kTiny, kTiny, kTiny).eta, std::asinh(1.0L / std::sqrt(2.0L))) <= 5);
  CHECK(pt_eta_phi(0.0, 0.0, 2.0).eta == kInfinity && pt_eta_phi(0.0, 0.0, -2.0).eta == -kInfinity);
  CHECK(pt_eta_phi(0.0, 0.0, 0.0).eta == 0.0 && pt_eta_phi(0.0, 0.0, 0.0).phi == 0.0);
  for (const double bad : {kNaN, kInfinity, -kInfinity}) {
    CHECK(std::isnan(pt_eta_phi(bad, 1.0, 1.0).pt) && std::isnan(pt_eta_phi(1.0, bad, 1.0).eta));
    CHECK(std::isnan(pt_eta_phi(1.0, 1.0, bad).phi) && std::isnan(pt_eta_phi(1.0, 1.0, bad).pt));
  }
}

template <class T> void threads_change_no_bit() {
  std::vector<T> x, y, z;
  for (const double number : positive_numbers()) {
    if (number > std::numeric_limits<T>::max()) continue;
    x.push_back(static_cast<T>(number));
    y.push_back(-x.back() / 3);
    z.push_back(x.back() * T(1.5));
  }
  const int64_t n = static_cast<int64_t>(x.size());
  std::vector<int64_t> offsets;
  for (int64_t i = 0; i < n; i += 1 + i % 37) offsets.push_back(i);
  const int64_t n_events = static_cast<int64_t>(offsets.size()) - 1;
  std::vector<T> first, result;
  for (const int threads : {1, 2, 3, 7}) {
    result.assign(3 * x.size() + 3 * offsets.size(), T(-1));
    T* out = result.data();
    pt_eta_phi(x.data(), y.data(), z.data(), n, threads, out, out + n, out + 2 * n);
    T* axis = out + 3 * n;
    jet_axis(offsets.data(), n_events, x.data(), y.data(), z.data(), threads, axis, axis + n_events,
             axis + 2 * n_events);
    if (threads == 1) first = result;
    CHECK(std::memcmp(first.data(), result.data(), result.size() * sizeof(T)) == 0);
  }
}

}  // namespace

int main() {
  special_values();
  errors_are_bounded();
  momenta_of_any_size();
  threads_change_no_bit<float>();
  threads_change_no_bit<double>();
  return evtok_test::report();
}
