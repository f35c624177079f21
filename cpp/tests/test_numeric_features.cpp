// Feature vectors: limits, states, one-hot types, references. Tolerance class: equality of bits.
#include "evtok/numeric_features.hpp"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "check.hpp"
#include "evtok/angles.hpp"
#include "evtok/real_functions.hpp"

namespace {

using namespace evtok;

constexpr double kInf = std::numeric_limits<double>::infinity();

struct Result {
  std::vector<float> vectors;
  std::vector<RowState> states;
};

Result run(const NumericFeatures& numbers, int64_t begin, int64_t end, int threads = 1) {
  Result r;
  r.vectors.assign(static_cast<size_t>((end - begin) * numbers.width()), -99.0F);
  r.states.assign(static_cast<size_t>(end - begin), RowState::kept);
  numbers.run(begin, end, threads, r.vectors.data(), r.states.data());
  return r;
}

NumericFeature feature(const double* x, FeatureFunction function = FeatureFunction::identity) {
  NumericFeature f;
  f.float64 = x;
  f.function = function;
  f.above = -kInf;
  f.below = kInf;
  return f;
}

void test_functions() {
  const std::vector<double> x = {-2.0, -0.0, 0.0, 5e-324, 0.5, 3.0, 1e300, kInf, kNaN};
  for (const FeatureFunction function :
       {FeatureFunction::identity, FeatureFunction::log, FeatureFunction::sqrt, FeatureFunction::asinh}) {
    NumericFeatures numbers;
    numbers.features = {feature(x.data(), function)};
    numbers.features[0].subtract = 0.5;
    numbers.features[0].multiply = 3.0;
    numbers.features[0].mean = 0.25;
    numbers.features[0].scale = 0.7;
    const Result r = run(numbers, 0, static_cast<int64_t>(x.size()));
    for (size_t i = 0; i < x.size(); ++i) {
      const double v = x[i];
      const double f = function == FeatureFunction::log     ? natural_log(v)
                       : function == FeatureFunction::sqrt  ? std::sqrt(v)
                       : function == FeatureFunction::asinh ? inverse_sinh(v)
                                                            : v;
      const float u = static_cast<float>(((f - 0.5) * 3.0 - 0.25) / 0.7);
      const bool valid = std::isfinite(v) && std::isfinite(u);
      CHECK(r.states[i] == (valid ? RowState::kept : RowState::invalid));
      if (valid) CHECK(r.vectors[i] == u);
    }
  }
}

void test_limits_come_before_the_function_and_invalid_before_cut() {
  const std::vector<double> x = {0.0, 1.0, 2.0, 1.5, kNaN}, y = {1.0, 1.0, 1.0, kInf, 1.0};
  NumericFeatures numbers;
  numbers.features = {feature(x.data(), FeatureFunction::log), feature(y.data())};
  numbers.features[0].above = 0.0;
  numbers.features[0].below = 2.0;
  const Result r = run(numbers, 0, 5);
  const std::vector<RowState> expected = {RowState::cut, RowState::kept, RowState::cut, RowState::invalid,
                                          RowState::invalid};
  CHECK(r.states == expected);
}

void test_references_and_types() {
  const std::vector<float> x = {0.1F, 3.0F, -3.0F, 0.2F};
  const std::vector<uint8_t> codes = {1, 0, 200, 1};
  const std::vector<int64_t> offsets = {0, 0, 1, 1, 3, 4, 4};
  const std::vector<double> axis = {9.0, 0.05, 9.0, 1.0, kNaN, 9.0};
  NumericFeatures numbers;
  NumericFeature f = feature(nullptr);
  f.float32 = x.data();
  f.reference = axis.data();
  f.wrap = true;
  numbers.features = {f};
  numbers.offsets = offsets.data();
  numbers.n_events = 6;
  numbers.types.codes = codes.data();
  numbers.types.place.fill(-1);
  numbers.types.place[0] = 1;
  numbers.types.place[1] = 0;
  numbers.types.n = 2;
  numbers.types.value = 0.5F;
  CHECK(numbers.width() == 3);
  const Result whole = run(numbers, 0, 4);
  const std::vector<RowState> expected = {RowState::kept, RowState::kept, RowState::unknown,
                                          RowState::invalid};
  CHECK(whole.states == expected);
  CHECK(whole.vectors[0] == static_cast<float>(wrap_angle(double{x[0]} - 0.05)));
  CHECK(whole.vectors[3] == static_cast<float>(wrap_angle(double{x[1]} - 1.0)));
  CHECK(whole.vectors[1] == 0.5F && whole.vectors[2] == 0.0F);
  CHECK(whole.vectors[4] == 0.0F && whole.vectors[5] == 0.5F);
  for (int64_t row = 0; row < 4; ++row) {
    const Result one = run(numbers, row, row + 1);
    CHECK(one.states[0] == expected[static_cast<size_t>(row)]);
    CHECK(one.vectors[0] == whole.vectors[static_cast<size_t>(3 * row)]);
  }
}

void test_threads_and_blocks_change_nothing() {
  constexpr int64_t kRows = 70000;
  std::vector<double> x(kRows);
  for (int64_t i = 0; i < kRows; ++i) x[static_cast<size_t>(i)] = 0.001 * static_cast<double>(i) - 3.0;
  NumericFeatures numbers;
  numbers.features = {feature(x.data(), FeatureFunction::asinh), feature(x.data(), FeatureFunction::log)};
  const Result one = run(numbers, 0, kRows), many = run(numbers, 0, kRows, 3);
  CHECK(std::memcmp(one.vectors.data(), many.vectors.data(), one.vectors.size() * sizeof(float)) == 0);
  CHECK(one.states == many.states);
  const Result part = run(numbers, 12345, 20000);
  for (int64_t i = 0; i < 20000 - 12345; ++i)
    CHECK(part.vectors[static_cast<size_t>(2 * i)] == one.vectors[static_cast<size_t>(2 * (i + 12345))]);
  CHECK(run(numbers, 5, 5).states.empty());
}

}  // namespace

int main() {
  test_functions();
  test_limits_come_before_the_function_and_invalid_before_cut();
  test_references_and_types();
  test_threads_and_blocks_change_nothing();
  return evtok_test::report();
}
