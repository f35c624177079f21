// Scores of rows on an emulated GPU (row_scores, class_distances, histogram_score) have the bits of the
// CPU's, in every order.
#include "row_scores.cuh"

#include <algorithm>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"
#include "class_distances.cuh"
#include "evtok/histogram_score.hpp"
#include "histogram_score.cuh"
#include "orders.hpp"

namespace {

using namespace evtok;

std::vector<float> normal(int64_t n, unsigned seed, double scale = 1) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> distribution(0, scale);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& value : x) value = static_cast<float>(distribution(random));
  return x;
}

// Some rows that have no score.
void spoil(std::vector<float>& x, int64_t n, int64_t n_dims) {
  const float odd[] = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                       -3e38F, -std::numeric_limits<float>::infinity()};
  for (int64_t row = 1, i = 0; row < n; row += 13, ++i)
    x[static_cast<size_t>(row * n_dims + i % n_dims)] = odd[i % 4];
}

void same(std::vector<float> got, std::vector<float> expected, const cuda::Status& status,
          const InvalidRows& invalid) {
  for (size_t i = 0; i < got.size(); ++i) {
    CHECK((got[i] != got[i]) == (expected[i] != expected[i]));
    if (got[i] != got[i]) got[i] = expected[i] = 0;  // NaN have other bits
  }
  CHECK(got.size() == expected.size());
  if (!got.empty()) CHECK(std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)) == 0);
  CHECK(status.count == static_cast<unsigned long long>(invalid.count));
  CHECK(static_cast<int64_t>(status.first) == invalid.first);
}

cuda::Status fresh() {
  cuda::Status status;
  CHECK(cuda::clear(&status, 1, nullptr) == cudaSuccess);
  return status;
}

void row_scores(int64_t n, int64_t n_dims) {
  std::vector<float> x = normal(n * n_dims, 1), y = normal(n * n_dims, 2);
  spoil(x, n, n_dims);
  std::vector<float> expected(static_cast<size_t>(n)), out(static_cast<size_t>(n), -7);
  for (const RowScoreRule& rule : {RowScoreRule{RowScore::squared_distance, y.data(), n_dims, true},
                                   RowScoreRule{RowScore::squared_distance, y.data(), 0, false},
                                   RowScoreRule{RowScore::squared_sum, nullptr, 0, false},
                                   RowScoreRule{RowScore::negative_largest, nullptr, 0, false}}) {
    if (n == 0) continue;
    const InvalidRows invalid = score_rows(rule, x.data(), n, n_dims, 1, expected.data());
    cuda::Status status = fresh();
    CHECK(cuda::score_rows(rule, x.data(), n, n_dims, &status, out.data(), nullptr) == cudaSuccess);
    same(out, expected, status, invalid);
  }
}

void class_distances(int64_t n, int64_t n_dims, int64_t n_classes, bool shared) {
  std::vector<float> x = normal(n * n_dims, 3, 3);
  spoil(x, n, n_dims);
  const int64_t factors = shared ? 1 : n_classes, padded = padded_rows(n_dims);
  std::vector<float> centres = normal(factors * n_dims, 4),
                     whitened = shared ? normal(n_classes * n_dims, 5)
                                       : std::vector<float>(static_cast<size_t>(n_dims)),
                     all = normal(factors * padded * n_dims, 6);
  for (int64_t f = 0; f < factors; ++f)
    for (int64_t o = 0; o < padded; ++o)
      for (int64_t j = 0; j < n_dims; ++j)
        if (j < o || o >= n_dims) all[static_cast<size_t>((f * padded + o) * n_dims + j)] = 0;
  if (shared && n_classes > 2)  // ties: the lowest index is wanted
    std::copy_n(whitened.begin() + n_dims, n_dims, whitened.begin() + (n_classes - 1) * n_dims);
  const Classes classes{n_classes, n_dims, shared, centres.data(), all.data(), whitened.data()};
  std::vector<float> expected(static_cast<size_t>(n)), out(static_cast<size_t>(n), -7);
  std::vector<int32_t> nearest(static_cast<size_t>(n)), found(static_cast<size_t>(n), -7);
  const InvalidRows invalid = class_distances(classes, x.data(), n, 1, expected.data(), nearest.data());
  cuda::Status status = fresh();
  CHECK(cuda::class_distances(classes, x.data(), n, &status, out.data(), found.data(), nullptr) ==
        cudaSuccess);
  same(out, expected, status, invalid);
  CHECK(found == nearest);
}

void histograms(int64_t n, int64_t n_dims) {
  std::vector<float> x = normal(n * n_dims, 8);
  spoil(x, n, n_dims);
  std::vector<int64_t> ends;
  std::vector<float> edges, values;
  for (int64_t j = 0; j < n_dims; ++j) {
    std::vector<float> own = normal(j * 7 % 20, static_cast<unsigned>(20 + j));
    std::sort(own.begin(), own.end());
    edges.insert(edges.end(), own.begin(), own.end());
    ends.push_back(static_cast<int64_t>(edges.size()));
    for (size_t i = 0; i <= own.size(); ++i) values.push_back(static_cast<float>(i) * 0.37F - 1.1F);
    if (!own.empty() && n > 0) x[static_cast<size_t>(j)] = own[own.size() / 2];  // on an edge
  }
  std::vector<Histogram> on_host;
  for (int64_t j = 0; j < n_dims; ++j) {
    const int64_t begin = j == 0 ? 0 : ends[static_cast<size_t>(j - 1)];
    on_host.push_back(
        {edges.data() + begin, ends[static_cast<size_t>(j)] - begin, values.data() + begin + j});
  }
  std::vector<float> expected(static_cast<size_t>(n)), out(static_cast<size_t>(n), -7);
  const InvalidRows invalid = histogram_score(on_host.data(), n_dims, x.data(), n, 1, expected.data());
  cuda::Status status = fresh();
  CHECK(cuda::histogram_score({edges.data(), values.data(), ends.data()}, x.data(), n, n_dims, &status,
                              out.data(), nullptr) == cudaSuccess);
  same(out, expected, status, invalid);
}

}  // namespace

int main() {
  evtok_test::in_every_order([] {
    for (const int64_t n : {0, 1, 127, 128, 129, 300})
      for (const int64_t n_dims : {1, 31, 32, 33, 70}) {
        row_scores(n, n_dims);
        if (n < 300) histograms(n, n_dims);
      }
    for (const int64_t n : {1, 63, 65})
      for (const int64_t n_dims : {1, 5, 31, 64, 70}) class_distances(n, n_dims, 3, n_dims % 2 == 1);
    class_distances(20, 12, 40, true);
    class_distances(20, 12, 5, false);
    class_distances(20, 130, 33, true);
  });
  return evtok_test::report();
}
