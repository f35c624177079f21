// The filter of tensor cores beside the CPU: ids and values with ==, and how many rows it leaves undecided.
#include "nearest_filter.cuh"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"
#include "orders.hpp"

namespace {

using evtok::Metric;
namespace cuda = evtok::cuda;

enum class Kind { gaussian, near, momenta, grid, equal, tiny, huge, falling };

struct Problem {
  int64_t n, n_codes, n_dims;
  std::vector<float> x, codes;
  std::vector<uint8_t> mask;
  Problem(Kind kind, int64_t n_, int64_t n_codes_, int64_t n_dims_)
      : n(n_), n_codes(n_codes_), n_dims(n_dims_), x(static_cast<size_t>(n * n_dims)),
        codes(static_cast<size_t>(n_codes * n_dims)), mask(static_cast<size_t>(n), 1) {
    std::mt19937_64 random(static_cast<uint64_t>(n * 7919 + n_codes * 31 + n_dims));
    std::normal_distribution<float> normal;
    const auto dims = static_cast<size_t>(n_dims);
    for (float& value : codes)
      value = kind == Kind::grid ? std::nearbyint(normal(random) / 2) : normal(random);
    for (float& value : x) value = kind == Kind::grid ? std::nearbyint(normal(random) / 2) : normal(random);
    for (size_t i = 0; i < static_cast<size_t>(n); ++i)  // rows at or near codes
      if (kind == Kind::near || i % 5 == 1)
        for (size_t j = 0; j < dims; ++j)
          x[i * dims + j] = codes[i * 13 % static_cast<size_t>(n_codes) * dims + j] +
                            (kind == Kind::near ? 0.01F * normal(random) : 0.0F);
    const auto change = [&](float factor, float offset) {
      for (float& value : codes) value = value * factor + offset;
      for (float& value : x) value = value * factor + offset;
    };
    if (kind == Kind::momenta) change(100, 2000);
    if (kind == Kind::tiny) change(1e-25F, 0);
    if (kind == Kind::huge) change(1e18F, 0);
    for (size_t k = 0; k < static_cast<size_t>(n_codes); ++k)
      for (size_t j = 0; j < dims; ++j) {
        if (kind == Kind::equal) codes[k * dims + j] = codes[j];
        // Every tile is nearer than the one before: the lists overflow.
        if (kind == Kind::falling)
          codes[k * dims + j] = 2 - static_cast<float>(k) / static_cast<float>(n_codes);
        if (kind == Kind::falling)
          for (size_t i = 0; i < static_cast<size_t>(n); ++i) x[i * dims + j] = 0.5F;
      }
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
      if (i % 17 == 2) x[i * dims + i % dims] = std::numeric_limits<float>::quiet_NaN();
      if (i % 17 == 5) x[i * dims + i % dims] = -std::numeric_limits<float>::infinity();
      if (i % 17 == 7) std::fill_n(x.data() + i * dims, dims, -0.0F);
      if (i % 17 == 9) std::fill_n(x.data() + i * dims, dims, std::numeric_limits<float>::max());
      if (i % 17 == 13) mask[i] = 0;
    }
  }
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (!(std::isnan(a[i]) && std::isnan(b[i])) && std::memcmp(&a[i], &b[i], sizeof(float)) != 0)
      return false;
  return true;
}

/// Rows that were searched through all codes.
int64_t compare(const Problem& p, Metric metric, bool with_values, int64_t scratch_rows = 128) {
  std::vector<float> codes = p.codes;
  if (metric == Metric::cosine) evtok::normalise_codes(p.codes.data(), p.n_codes, p.n_dims, codes.data());
  const evtok::RowsView<float> rows{p.x.data(), p.n, p.n % 2 == 0 ? p.mask.data() : nullptr};
  const auto n = static_cast<size_t>(p.n);
  std::vector<int32_t> expected(n, -7), found(n, -7);
  std::vector<float> expected_values(n, -7), values(n, -7);
  const evtok::CodeSearch<float> search(codes.data(), p.n_codes, p.n_dims, metric);
  const auto faults = search.search(rows, {1, expected.data(), expected_values.data(), nullptr}, 1);

  const auto at = [](int64_t size) { return static_cast<size_t>(size); };
  std::vector<float> panels(at((p.n_codes + 31) / 32 * p.n_dims * 32)), largest(1);
  cuda::prepare_codes(codes.data(), p.n_codes, p.n_dims, panels.data(), largest.data(), nullptr);
  const cuda::FilterSizes sizes(p.n_codes, p.n_dims);
  std::vector<float> centre(at(sizes.dims)), bias(at(sizes.bias)), longest(1), slack(at(scratch_rows)),
      minima(at(scratch_rows));
  // Copies of 16 bytes want their alignment, which a device's memory has.
  std::vector<uint4> fragments(at(sizes.codes / 4)), row_pairs(at(scratch_rows * sizes.dims / 8));
  std::vector<int32_t> counts(at(scratch_rows));
  std::vector<float2> lists(at(scratch_rows * cuda::kFilterCandidates));
  const cuda::FilterTables tables{centre.data(), reinterpret_cast<uint32_t*>(fragments.data()), bias.data(),
                                  longest.data()};
  CHECK(cuda::prepare_filter(codes.data(), p.n_codes, p.n_dims, metric != Metric::l2, tables, nullptr) ==
        cudaSuccess);
  cuda::Status statuses[cuda::kNearestStatuses];
  cuda::clear(statuses, cuda::kNearestStatuses, nullptr);
  CHECK(cuda::nearest_filter(rows, {codes.data(), p.n_codes, p.n_dims, metric, panels.data(), largest.data()},
                             tables,
                             {reinterpret_cast<uint32_t*>(row_pairs.data()), slack.data(), minima.data(),
                              counts.data(), lists.data()},
                             scratch_rows, {1, found.data(), with_values ? values.data() : nullptr, nullptr},
                             statuses, nullptr) == cudaSuccess);
  CHECK(found == expected);
  if (with_values) CHECK(same_bits(values, expected_values));
  unsigned long long count = 0;
  for (const auto& status : statuses) count += status.count;
  CHECK(static_cast<int64_t>(count) == faults.count);
  int64_t undecided = 0;
  for (int64_t i = 0; i < std::min(p.n, scratch_rows); ++i) undecided += counts[at(i)] == -1;
  return undecided;
}

}  // namespace

int main() {
  for (const Kind kind :
       {Kind::gaussian, Kind::near, Kind::momenta, Kind::grid, Kind::equal, Kind::tiny, Kind::huge}) {
    const Problem p(kind, 34, 260, 40);
    compare(p, Metric::l2, kind == Kind::grid);
    compare(p, Metric::dot, kind != Kind::grid);
  }
  CHECK(compare(Problem(Kind::near, 16, 300, 64), Metric::l2, false) <= 4);     // the filter does decide
  CHECK(compare(Problem(Kind::momenta, 16, 300, 64), Metric::l2, false) <= 4);  // far from the origin too
  CHECK(compare(Problem(Kind::falling, 16, 520, 20), Metric::l2, true) == 16);  // and its lists may overflow
  compare(Problem(Kind::gaussian, 33, 129, 65), Metric::cosine, true);
  compare(Problem(Kind::gaussian, 0, 5, 17), Metric::l2, true);
  compare(Problem(Kind::gaussian, 1, 1, 1), Metric::l2, true);
  evtok_test::in_every_order([] {
    compare(Problem(Kind::gaussian, 129, 130, 17), Metric::l2, true);   // two pieces of scratch
    compare(Problem(Kind::grid, 130, 10, 17), Metric::dot, true, 256);  // two tiles of rows
  });
  return evtok_test::report();
}
