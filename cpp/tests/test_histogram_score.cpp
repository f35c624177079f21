// Histogram scores: every instruction set against the contract in words. Tolerance class: equality of bits.
#include "evtok/histogram_score.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"
#include "evtok/bins.hpp"
#include "evtok/isa.hpp"

namespace {

using namespace evtok;

using Random = std::mt19937_64;

void test_problem(int64_t n, int64_t n_dims, int64_t most_edges, bool hostile, Random& random) {
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> edges(static_cast<size_t>(n_dims)), values(edges.size());
  std::vector<Histogram> histograms;
  for (size_t j = 0; j < edges.size(); ++j) {
    const auto n_edges = random() % static_cast<uint64_t>(most_edges + 1);
    for (uint64_t k = 0; k < n_edges; ++k) edges[j].push_back(std::round(normal(random) * 8.0F) / 4.0F);
    std::sort(edges[j].begin(), edges[j].end());
    for (uint64_t k = 0; k <= n_edges; ++k) values[j].push_back(normal(random));
    if (hostile && j == 1) values[j][0] = std::numeric_limits<float>::max();
    histograms.push_back({edges[j].data(), static_cast<int64_t>(n_edges), values[j].data()});
  }
  if (hostile && n_dims > 2) values[2][0] = std::numeric_limits<float>::max();  // both overflow
  std::vector<float> x(static_cast<size_t>(n * n_dims));
  for (float& value : x) value = std::round(normal(random) * 16.0F) / 4.0F;  // some are edges
  const float bad[] = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                       -std::numeric_limits<float>::infinity(), -0.0F, 3e38F};
  for (size_t i = 5; hostile && i < x.size(); i += 211) x[i] = bad[i % 5];
  std::vector<float> out(static_cast<size_t>(n) + 1, 12345.0F);
  const InvalidRows invalid =
      histogram_score(histograms.data(), n_dims, x.data(), n, n > 1000 ? 3 : 1, out.data());
  int64_t count = 0, first = -1;
  bool equal = out.back() == 12345.0F;
  for (int64_t r = 0; r < n; ++r) {
    float s = 0;
    for (int64_t j = 0; j < n_dims; ++j) {
      const Histogram& histogram = histograms[static_cast<size_t>(j)];
      const float value = x[static_cast<size_t>(r * n_dims + j)];
      const auto n_edges = static_cast<int32_t>(histogram.n_edges);
      s += std::isfinite(value) ? histogram.values[bin_of(value, histogram.edges, n_edges, false)] : NAN;
    }
    const float found = out[static_cast<size_t>(r)];
    if (std::isfinite(s)) {
      equal &= std::memcmp(&s, &found, sizeof s) == 0;
    } else {
      equal &= std::isnan(found);
      if (count++ == 0) first = r;
    }
  }
  CHECK(equal);
  CHECK(invalid.count == count && invalid.first == first);
}

#ifdef EVTOK_X86
// The values of bins from registers, for every code; what lies beside the rows is not looked at.
void test_bin_values(Random& random) {
  std::normal_distribution<float> normal;
  float values[kValuesInRegisters];
  for (float& value : values) value = normal(random);
  for (const int64_t n : {1, 16, 17, 40, 512}) {
    const auto padded = static_cast<size_t>((n + 15) / 16 * 16);
    std::vector<int32_t> codes(padded, -7);
    for (int64_t i = 0; i < n; ++i)
      codes[static_cast<size_t>(i)] = static_cast<int32_t>(i % kValuesInRegisters);
    std::vector<float> scores(padded), before;
    for (float& score : scores) score = normal(random);
    before = scores;
    add_bin_values_avx512(values, codes.data(), n, scores.data());
    bool equal = true;
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) equal &= scores[i] == before[i] + values[codes[i]];
    CHECK(equal);
  }
}
#endif

}  // namespace

int main() {
#ifdef EVTOK_X86
#ifdef EVTOK_EMULATED_AVX512
  const bool here = true;
#else
  const bool here = isa_available(Isa::avx512);
#endif
  Random of_values(3);
  if (here) test_bin_values(of_values);
#endif
  for (int i = 0; i < kIsaCount; ++i) {
    if (!isa_available(static_cast<Isa>(i))) continue;
    force_isa(static_cast<Isa>(i));
    Random random(4);
    for (const bool hostile : {false, true})
      for (const int64_t n_dims : {1, 3, 8, 9, 20})
        for (const int64_t most_edges : {1, 9, 31, 50, 700})
          for (const int64_t n : {0, 1, 33, 512, 513, 1100})
            test_problem(n, n_dims, most_edges, hostile, random);
    test_problem(20000, 11, 20, true, random);
    unforce_isa();
  }
  return evtok_test::report();
}
