// Reductions over events: every instruction set against the contract in words. Tolerance class: equality of
// bits.
#include "evtok/segments.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"
#include "evtok/isa.hpp"

namespace {

using namespace evtok;

using Random = std::mt19937_64;

template <class T> struct Problem {
  std::vector<T> values, weights, type_weights;
  std::vector<uint8_t> types;
  std::vector<int64_t> offsets{0};
};

template <class T> Problem<T> draw(int64_t n_events, int64_t most, bool hostile, Random& random) {
  Problem<T> problem;
  std::normal_distribution<T> normal(0, 3);
  problem.type_weights = {T{1}, T{0}, T{0.375}, T{2.5}};
  if (most == 40) problem.type_weights.resize(11, T{1.25});
  for (int64_t e = 0; e < n_events; ++e) {
    auto n = static_cast<int64_t>(random() % static_cast<uint64_t>(most + 1));
    if (most == 150) n = 75 + n / 2;                 // long ones side by side
    if (most == 300 && e % 11 != 3) n = n % 10 + 1;  // a long one among short ones
    for (int64_t i = 0; i < n; ++i) {
      T value = std::round(normal(random)) / T{3};  // some are equal, some are zero
      T weight = random() % 4 == 0 ? T{0} : std::abs(normal(random));
      if (hostile && random() % 40 == 0) {
        const T bad[] = {std::numeric_limits<T>::quiet_NaN(),
                         std::numeric_limits<T>::infinity(),
                         -std::numeric_limits<T>::infinity(),
                         std::numeric_limits<T>::max(),
                         T{-0.0},
                         std::numeric_limits<T>::denorm_min()};
        value = bad[random() % 6];
        if (random() % 3 == 0) weight = bad[random() % 6];
        if (random() % 5 == 0) weight = T{-1};
      }
      problem.values.push_back(value);
      problem.weights.push_back(weight);
      problem.types.push_back(static_cast<uint8_t>(random() % problem.type_weights.size()));
    }
    problem.offsets.push_back(static_cast<int64_t>(problem.values.size()));
  }
  return problem;
}

// One event by the contract; false when it is invalid.
template <class T>
bool one_event(const std::vector<T>& v, const std::vector<T>& w, const SegmentRule& rule, T& result) {
  double sums[8] = {}, weights[8] = {};
  std::vector<T> u;
  const bool sum = rule.reduction == Reduction::sum || rule.reduction == Reduction::mean;
  for (size_t i = 0; i < v.size(); ++i) {
    if (!std::isfinite(v[i]) || !std::isfinite(w[i]) || w[i] < 0) return false;
    sums[i % 8] = std::fma(static_cast<double>(v[i]), static_cast<double>(w[i]), sums[i % 8]);
    weights[i % 8] += static_cast<double>(w[i]);
    if (w[i] != 0) u.push_back(v[i] * w[i]);
    if (!sum && !std::isfinite(v[i] * w[i])) return false;
  }
  const auto total = [](const double* p) {
    return ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]));
  };
  std::sort(u.begin(), u.end(), std::greater<T>{});
  if (u.empty()) {
    result = static_cast<T>(rule.empty);
    return true;
  }
  if (rule.reduction == Reduction::sum) result = static_cast<T>(total(sums));
  if (rule.reduction == Reduction::mean) {
    if (!std::isfinite(total(sums)) || !std::isfinite(total(weights))) return false;
    result = static_cast<T>(total(sums) / total(weights));
  }
  if (rule.reduction == Reduction::max) result = u[0] + T{0};
  if (rule.reduction == Reduction::top_mean) {
    const size_t k = std::min(u.size(), static_cast<size_t>(rule.k));
    double added = 0;
    for (size_t r = 0; r < k; ++r) added += static_cast<double>(u[r]);
    result = static_cast<T>(added / static_cast<double>(k));
  }
  return std::isfinite(result);
}

template <class T>
void compare(const Problem<T>& problem, bool weighted, bool typed, const SegmentRule& rule, int threads) {
  const auto n = static_cast<int64_t>(problem.offsets.size()) - 1;
  constexpr T kGuard = 12345;
  std::vector<T> out(static_cast<size_t>(n) + 1, kGuard);
  const Segments<T> events{problem.values.data(), problem.offsets.back(),
                           weighted ? problem.weights.data() : nullptr, 0, problem.offsets.data()};
  const TypeWeights<T> by_type{problem.types.data(), problem.type_weights.data(),
                               static_cast<int64_t>(problem.type_weights.size())};
  const InvalidSegments invalid =
      reduce_segments(events, n, typed ? by_type : TypeWeights<T>{}, rule, threads, out.data());
  int64_t count = 0, first = -1;
  bool equal = out.back() == kGuard;
  for (int64_t e = 0; e < n; ++e) {
    std::vector<T> v, w;
    for (int64_t at = problem.offsets[static_cast<size_t>(e)];
         at < problem.offsets[static_cast<size_t>(e) + 1]; ++at) {
      const auto i = static_cast<size_t>(at);
      T weight = typed ? problem.type_weights[problem.types[i]] : T{1};
      if (weighted) {
        const T own = problem.weights[i];
        const T product = own < 0 ? std::numeric_limits<T>::quiet_NaN() : weight * own;
        weight = typed ? product : own;
      }
      v.push_back(problem.values[i]);
      w.push_back(weight);
    }
    T expected{};
    const T found = out[static_cast<size_t>(e)];
    if (one_event(v, w, rule, expected)) {
      equal &= std::memcmp(&expected, &found, sizeof(T)) == 0 || (std::isnan(expected) && std::isnan(found));
    } else {
      equal &= std::isnan(found);
      if (count++ == 0) first = e;
    }
  }
  CHECK(equal);
  CHECK(invalid.count == count && invalid.first == first);
}

template <class T> void test_dtype(Random& random) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const bool hostile : {false, true}) {
    for (const int64_t most : {0, 1, 7, 20, 40, 150, 300, 5000}) {
      const int64_t n_events = most == 5000 ? 4 : most == 150 ? 50 : 300;
      const Problem<T> problem = draw<T>(n_events, most, hostile && most != 150, random);
      for (int32_t r = 0; r < kReductions; ++r) {
        for (const int64_t k : {1, 2, 3, 5, 7, 8, 9, 40}) {
          if (k > 1 && static_cast<Reduction>(r) != Reduction::top_mean) continue;
          const SegmentRule rule{static_cast<Reduction>(r), k, k % 2 == 0 ? -1.5 : nan};
          for (const bool weighted : {false, true})
            for (const bool typed : {false, true})
              compare(problem, weighted, typed, rule, k % 2 == 0 ? 3 : 1);
        }
      }
    }
  }
  // Many events: more than one chunk for the threads.
  const Problem<T> problem = draw<T>(20000, 9, false, random);
  for (int32_t r = 0; r < kReductions; ++r)
    compare(problem, true, true, {static_cast<Reduction>(r), 3, 0.0}, 3);
}

}  // namespace

int main() {
  for (int i = 0; i < kIsaCount; ++i) {
    if (!isa_available(static_cast<Isa>(i))) continue;
    force_isa(static_cast<Isa>(i));
    Random random(5);
    test_dtype<float>(random);
    test_dtype<double>(random);
    unforce_isa();
  }
  return evtok_test::report();
}
