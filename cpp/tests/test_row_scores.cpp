// Scores of rows, and rows as lanes: every instruction set against the contract in words. Tolerance class:
// equality of bits.
#include "evtok/row_scores.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"
#include "evtok/isa.hpp"
#include "evtok/row_tiles.hpp"

namespace {

using namespace evtok;

using Random = std::mt19937_64;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> draw(int64_t n, float size, bool hostile, Random& random) {
  std::normal_distribution<float> normal(0.0F, size);
  std::vector<float> values(static_cast<size_t>(n));
  const float bad[] = {std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity, -0.0F, 3e38F, -3e38F};
  for (float& value : values) value = hostile && random() % 50 == 0 ? bad[random() % 6] : normal(random);
  return values;
}

float one_row(RowScore score, const float* x, const float* y, int64_t n_dims) {
  float s = 0;
  if (score == RowScore::negative_largest) {
    s = -kInfinity;
    for (int64_t j = 0; j < n_dims; ++j) {
      if (std::isnan(x[j])) return x[j];
      s = std::max(s, x[j]);
    }
    return 0.0F - s;
  }
  for (int64_t j = 0; j < n_dims; ++j) {
    const float t = score == RowScore::squared_distance ? x[j] - y[j] : x[j];
    s = std::fma(t, t, s);
  }
  return s;
}

void test_scores(Random& random) {
  for (const int64_t n_dims : {1, 2, 7, 8, 9, 16, 19, 64}) {
    for (const int64_t n : {0, 1, 7, 8, 31, 32, 33, 255, 256, 257, 700}) {
      const bool hostile = n % 2 == 1;
      const float size = n == 33 ? 1e-22F : 1.0F;
      const std::vector<float> x = draw(n * n_dims, size, hostile, random),
                               y = draw(n * n_dims, size, hostile, random);
      const std::vector<float> centre = draw(n_dims, size, false, random);
      for (int which = 0; which < 5; ++which) {
        RowScoreRule rule{static_cast<RowScore>(which % kRowScores), nullptr, 0, which > 2};
        if (rule.score == RowScore::squared_distance) {
          rule.other = which == 0 ? centre.data() : y.data();
          rule.other_stride = which == 0 ? 0 : n_dims;
        }
        constexpr float kGuard = 12345.0F;
        std::vector<float> out(static_cast<size_t>(n) + 1, kGuard);
        const InvalidRows invalid = score_rows(rule, x.data(), n, n_dims, n > 300 ? 3 : 1, out.data());
        int64_t count = 0, first = -1;
        bool equal = out.back() == kGuard;
        for (int64_t r = 0; r < n; ++r) {
          float expected =
              one_row(rule.score, x.data() + r * n_dims, rule.other + r * rule.other_stride, n_dims);
          if (rule.mean) expected /= static_cast<float>(n_dims);
          const float found = out[static_cast<size_t>(r)];
          if (std::isfinite(expected)) {
            equal &= std::memcmp(&expected, &found, sizeof found) == 0;
          } else {
            equal &= std::isnan(found);
            if (count++ == 0) first = r;
          }
        }
        CHECK(equal);
        CHECK(invalid.count == count && invalid.first == first);
      }
    }
  }
}

void test_lanes(Random& random) {
  for (const int64_t width : {1, 5, 8, 13, 24}) {
    for (const int64_t n : {1, 7, 8, 9, 24}) {
      const int64_t stride = width + n % 3, n_lanes = 24;
      const std::vector<float> rows = draw((n - 1) * stride + width, 1.0F, false, random);
      std::vector<float> lanes(static_cast<size_t>(width * n_lanes));
      rows_to_lanes()(rows.data(), n, stride, width, n_lanes, lanes.data());
      bool equal = true;
      for (int64_t r = 0; r < n_lanes; ++r)
        for (int64_t j = 0; j < width; ++j)
          equal &= lanes[static_cast<size_t>(j * n_lanes + r)] ==
                   rows[static_cast<size_t>(std::min(r, n - 1) * stride + j)];
      CHECK(equal);
    }
  }
}

}  // namespace

int main() {
  for (int i = 0; i < kIsaCount; ++i) {
    if (!isa_available(static_cast<Isa>(i))) continue;
    force_isa(static_cast<Isa>(i));
    Random random(3);
    test_scores(random);
    test_lanes(random);
    unforce_isa();
  }
  return evtok_test::report();
}
