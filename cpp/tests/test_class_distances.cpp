// Distances to classes: every instruction set against the contract in words. Tolerance class: equality of
// bits.
#include "evtok/class_distances.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"
#include "evtok/isa.hpp"

namespace {

using namespace evtok;

using Random = std::mt19937_64;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> draw(int64_t n, float size, Random& random) {
  std::normal_distribution<float> normal(0.0F, size);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = normal(random);
  return values;
}

// Factors with zeros below the diagonal and in the padding.
std::vector<float> draw_factors(int64_t n_factors, int64_t n_dims, Random& random) {
  std::vector<float> factors(static_cast<size_t>(n_factors * padded_rows(n_dims) * n_dims), 0.0F);
  std::normal_distribution<float> normal;
  for (int64_t k = 0; k < n_factors; ++k)
    for (int64_t o = 0; o < n_dims; ++o)
      for (int64_t j = o; j < n_dims; ++j)
        factors[static_cast<size_t>((k * padded_rows(n_dims) + o) * n_dims + j)] =
            o == j ? 1.0F + std::abs(normal(random)) : normal(random);
  return factors;
}

// One row by the contract.
float one_row(const Classes& classes, const float* x, int32_t& nearest) {
  float least = kInfinity;
  nearest = -1;
  const int64_t n = classes.n_dims;
  for (int64_t k = 0; k < classes.n_classes; ++k) {
    const float* centre = classes.centres + (classes.shared ? 0 : k * n);
    const float* factor = classes.factors + (classes.shared ? 0 : k * padded_rows(n) * n);
    float s = 0;
    for (int64_t o = 0; o < n; ++o) {
      float t = 0;
      for (int64_t j = o; j < n; ++j) t = std::fma(factor[o * n + j], x[j] - centre[j], t);
      const float z = t - classes.whitened[classes.shared ? k * n + o : o];
      s = std::fma(z, z, s);
    }
    if (s < least) {
      least = s;
      nearest = static_cast<int32_t>(k);
    }
  }
  return least;
}

void test_problem(int64_t n, int64_t n_classes, int64_t n_dims, bool shared, Random& random) {
  std::vector<float> x = draw(n * n_dims, 1.0F, random);
  const float bad[] = {std::numeric_limits<float>::quiet_NaN(), kInfinity, 3e38F, 1e-40F, -3e38F};
  for (size_t i = 3; i < x.size(); i += 97) x[i] = bad[i % 5];
  const std::vector<float> centres = draw((shared ? 1 : n_classes) * n_dims, n == 65 ? 1e38F : 1.0F, random);
  const std::vector<float> factors = draw_factors(shared ? 1 : n_classes, n_dims, random);
  const std::vector<float> whitened =
      shared ? draw(n_classes * n_dims, 1.0F, random) : std::vector<float>(static_cast<size_t>(n_dims), 0.0F);
  const Classes classes{n_classes, n_dims, shared, centres.data(), factors.data(), whitened.data()};
  std::vector<float> scores(static_cast<size_t>(n) + 1, 12345.0F);
  std::vector<int32_t> nearest(static_cast<size_t>(n) + 1, 12345);
  const InvalidRows invalid = class_distances(classes, x.data(), n, n > 100 ? 3 : 1, scores.data(),
                                              n == 1 ? nullptr : nearest.data());
  bool equal = scores.back() == 12345.0F && nearest.back() == 12345;
  int64_t count = 0, first = -1;
  for (int64_t r = 0; r < n; ++r) {
    int32_t wanted = -1;
    const float expected = one_row(classes, x.data() + r * n_dims, wanted);
    const float found = scores[static_cast<size_t>(r)];
    if (wanted >= 0) {
      equal &= std::memcmp(&expected, &found, sizeof found) == 0;
    } else {
      equal &= std::isnan(found);
      if (count++ == 0) first = r;
    }
    equal &= n == 1 || nearest[static_cast<size_t>(r)] == wanted;
  }
  CHECK(equal);
  CHECK(invalid.count == count && invalid.first == first);
}

// The parts of a tile, without the choice by instruction set: so that emulated kernels are tested too.
void test_parts(ShiftTile shift, WhitenTile whiten, NearestClass nearest) {
  Random random(2);
  for (const int64_t n_dims : {1, 2, 5, 6, 7, 12, 13, 30}) {
    const auto size = static_cast<size_t>(n_dims * kClassRows);
    const std::vector<float> x = draw(n_dims * kClassRows, 1.0F, random), w = draw(3 * n_dims, 1.0F, random),
                             factor = draw_factors(1, n_dims, random);
    std::vector<float> d(size), expected_d(size);
    shift_tile_scalar(x.data(), w.data(), n_dims, expected_d.data());
    shift(x.data(), w.data(), n_dims, d.data());
    CHECK(std::memcmp(d.data(), expected_d.data(), size * sizeof(float)) == 0);
    std::vector<float> y(static_cast<size_t>(padded_rows(n_dims) * kClassRows)), expected_y(y.size());
    whiten_tile_scalar(factor.data(), d.data(), n_dims, expected_y.data());
    whiten(factor.data(), d.data(), n_dims, y.data());
    CHECK(std::memcmp(y.data(), expected_y.data(), size * sizeof(float)) == 0);
    std::vector<float> least(kClassRows, kInfinity), expected_least(least);
    std::vector<int32_t> classes(kClassRows, -1), expected_classes(classes);
    nearest_class_scalar(y.data(), w.data(), 3, n_dims, 7, expected_least.data(), expected_classes.data());
    nearest(y.data(), w.data(), 3, n_dims, 7, least.data(), classes.data());
    CHECK(least == expected_least);
    CHECK(classes == expected_classes);
  }
}

}  // namespace

int main() {
#ifdef EVTOK_X86
  if (isa_available(Isa::avx2)) test_parts(shift_tile_avx2, whiten_tile_avx2, nearest_class_avx2);
#ifdef EVTOK_EMULATED_AVX512
  test_parts(shift_tile_avx512, whiten_tile_avx512, nearest_class_avx512);
#else
  if (isa_available(Isa::avx512)) test_parts(shift_tile_avx512, whiten_tile_avx512, nearest_class_avx512);
#endif
#endif
  for (int i = 0; i < kIsaCount; ++i) {
    if (!isa_available(static_cast<Isa>(i))) continue;
    force_isa(static_cast<Isa>(i));
    Random random(9);
    for (const bool shared : {false, true})
      for (const int64_t n_dims : {1, 3, 8, 12, 13, 40})
        for (const int64_t n_classes : {1, 2, 5})
          for (const int64_t n : {0, 1, 63, 64, 65, 1100})
            if (n < 1000 || n_dims < 10) test_problem(n, n_classes, n_dims, shared, random);
    unforce_isa();
  }
  return evtok_test::report();
}
