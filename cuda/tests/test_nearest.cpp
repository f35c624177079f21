// Every route to the nearest code beside the CPU's: ids, values and margins with ==, and the same faults.
#include "evtok/nearest.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "check.hpp"
#include "nearest.cuh"
#include "orders.hpp"

namespace {

using evtok::Metric;
using evtok::cuda::NearestRoute;

template <class T> struct Found {
  std::vector<int32_t> ids;
  std::vector<T> values, margin;
  Found(int64_t n, int64_t k)
      : ids(static_cast<size_t>(n * k), -7), values(static_cast<size_t>(n * k), T(-7)),
        margin(static_cast<size_t>(n), T(-7)) {}
  evtok::Neighbours<T> view(int64_t k, bool with_margin) {
    return {k, ids.data(), values.data(), with_margin ? margin.data() : nullptr};
  }
};

template <class T> bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (!(std::isnan(a[i]) && std::isnan(b[i])) && std::memcmp(&a[i], &b[i], sizeof(T)) != 0) return false;
  return a.size() == b.size();
}

/// A codebook on the "device".
template <class T> struct Codes {
  std::vector<T> panels, largest = std::vector<T>(1), branches, leaves, ordered;
  std::vector<int32_t> ids;
  evtok::cuda::NearestCodes<T> codes;
  evtok::cuda::NearestBoxes<T> boxes{};

  Codes(const std::vector<T>& values, int64_t n_codes, int64_t n_dims, Metric metric, bool with_boxes)
      : panels(static_cast<size_t>((n_codes + 31) / 32 * n_dims * 32)),
        codes{values.data(), n_codes, n_dims, metric, panels.data(), largest.data()} {
    CHECK(evtok::cuda::prepare_codes(values.data(), n_codes, n_dims, panels.data(), largest.data(),
                                     nullptr) == cudaSuccess);
    if (!with_boxes) return;
    std::vector<int32_t> order(static_cast<size_t>(n_codes));
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return values[static_cast<size_t>(a * n_dims)] < values[static_cast<size_t>(b * n_dims)];
    });
    const evtok::cuda::BoxSizes sizes(n_codes, n_dims);
    branches.resize(static_cast<size_t>(sizes.branches));
    leaves.resize(static_cast<size_t>(sizes.leaves));
    ordered.resize(static_cast<size_t>(sizes.codes));
    ids.resize(static_cast<size_t>(sizes.ids));
    CHECK(evtok::cuda::prepare_boxes(values.data(), n_codes, n_dims, order.data(), branches.data(),
                                     leaves.data(), ordered.data(), ids.data(), nullptr) == cudaSuccess);
    boxes = {branches.data(), leaves.data(), ordered.data(), ids.data(), sizes.n_leaves};
  }
};

template <class T> struct Problem {
  int64_t n, n_codes, n_dims;
  std::vector<T> x, codes;
  std::vector<uint8_t> mask;

  /// Coordinates on a coarse grid, so that distances tie; rows that are codes; faults of every kind.
  Problem(int64_t n_, int64_t n_codes_, int64_t n_dims_, bool grid, T offset)
      : n(n_), n_codes(n_codes_), n_dims(n_dims_), x(static_cast<size_t>(n * n_dims)),
        codes(static_cast<size_t>(n_codes * n_dims)), mask(static_cast<size_t>(n), 1) {
    std::mt19937_64 random(static_cast<uint64_t>(n * 7919 + n_codes * 31 + n_dims));
    std::normal_distribution<double> normal;
    const auto draw = [&] {
      const double value = normal(random);
      return static_cast<T>(grid ? std::nearbyint(value) : value) + offset;
    };
    for (T& value : codes) value = draw();
    for (T& value : x) value = draw();
    const auto dims = static_cast<size_t>(n_dims);
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
      T* row = x.data() + i * dims;
      if (i % 5 == 1) std::copy_n(codes.data() + i * 13 % static_cast<size_t>(n_codes) * dims, dims, row);
      if (i % 17 == 2) row[i % dims] = std::numeric_limits<T>::quiet_NaN();
      if (i % 17 == 5) row[i % dims] = -std::numeric_limits<T>::infinity();
      if (i % 17 == 7) std::fill_n(row, dims, i % 2 == 0 ? T(0) : -T(0));
      if (i % 17 == 9) std::fill_n(row, dims, std::numeric_limits<T>::max());
      if (i % 17 == 11) std::fill_n(row, dims, std::numeric_limits<T>::denorm_min());
      if (i % 17 == 13) mask[i] = 0;
    }
  }
};

template <class T>
void compare(const Problem<T>& p, Metric metric, int64_t k, bool with_margin, NearestRoute route) {
  std::vector<T> codes = p.codes;
  if (metric == Metric::cosine &&
      evtok::normalise_codes(p.codes.data(), p.n_codes, p.n_dims, codes.data()) >= 0)
    return;
  const evtok::RowsView<T> rows{p.x.data(), p.n, p.n % 2 == 0 ? p.mask.data() : nullptr};
  Found<T> expected(p.n, k), found(p.n, k);
  const evtok::CodeSearch<T> search(codes.data(), p.n_codes, p.n_dims, metric);
  const evtok::RowFaults faults = search.search(rows, expected.view(k, with_margin), 1);

  const Codes<T> device(codes, p.n_codes, p.n_dims, metric, route == NearestRoute::boxes);
  evtok::cuda::Status statuses[evtok::cuda::kNearestStatuses];
  evtok::cuda::clear(statuses, evtok::cuda::kNearestStatuses, nullptr);
  CHECK(evtok::cuda::nearest(rows, device.codes, device.boxes, found.view(k, with_margin), statuses, route,
                             nullptr) == cudaSuccess);
  CHECK(found.ids == expected.ids);
  CHECK(same_bits(found.values, expected.values));
  CHECK(same_bits(found.margin, expected.margin));
  unsigned long long count = 0;
  for (const auto& status : statuses) count += status.count;
  CHECK(static_cast<int64_t>(count) == faults.count);
  if (faults.count > 0) {
    const auto reason = static_cast<size_t>(faults.reason) - 2;
    CHECK(static_cast<int64_t>(statuses[reason].first) == faults.first);
  }
}

/// Each route with metrics, numbers of neighbours and margins that it serves.
template <class T> void routes(int64_t n, int64_t n_codes, int64_t n_dims, bool grid, T offset = 0) {
  const Problem<T> p(n, n_codes, n_dims, grid, offset);
  for (const Metric metric : {Metric::l2, Metric::dot, Metric::cosine}) {
    if (n_dims <= 16) compare(p, metric, 1, false, NearestRoute::tile);
    compare(p, metric, 1, grid, NearestRoute::every);
  }
  const int64_t several = std::min<int64_t>(n_codes, 3);
  if (n_dims <= 17) {
    compare(p, Metric::l2, 1, !grid, NearestRoute::boxes);
    compare(p, Metric::l2, several, grid, NearestRoute::boxes);
  }
  compare(p, grid ? Metric::l2 : Metric::dot, several, !grid, NearestRoute::every);
}

}  // namespace

int main() {
  for (const auto& [n, n_codes, n_dims] : std::vector<std::array<int64_t, 3>>{{0, 1, 1},
                                                                              {1, 1, 1},
                                                                              {19, 7, 2},
                                                                              {18, 33, 3},
                                                                              {20, 256, 4},
                                                                              {18, 257, 5},
                                                                              {3, 1025, 6},
                                                                              {18, 65, 7},
                                                                              {18, 31, 8},
                                                                              {18, 9, 9},
                                                                              {18, 32, 16},
                                                                              {18, 40, 17},
                                                                              {4, 40, 64},
                                                                              {4, 20, 257}}) {
    routes<float>(n, n_codes, n_dims, false);
    routes<float>(n, n_codes, n_dims, true);
    routes<double>(n, n_codes, n_dims, n_dims % 2 == 0);
  }
  routes<float>(20, 200, 4, false, 2000.0F);
  const Problem<float> p(19, 70, 4, true, 0.0F);
  compare(p, Metric::l2, 70, true, NearestRoute::every);  // more than the lanes of a warp
  compare(p, Metric::dot, 33, false, NearestRoute::every);
  compare(p, Metric::l2, 32, false, NearestRoute::boxes);
  compare(Problem<float>(1100, 20, 4, true, 0.0F), Metric::l2, 1, false,
          NearestRoute::tile);  // more than a block
  compare(Problem<float>(1, 33000, 2, false, 0.0F), Metric::l2, 1, false,
          NearestRoute::boxes);  // 33 branches
  evtok_test::in_every_order([] {
    const Problem<float> ties(20, 40, 3, true, 0.0F);
    for (const auto route : {NearestRoute::tile, NearestRoute::every, NearestRoute::boxes})
      compare(ties, Metric::l2, 1, false, route);
    // More rows than warps: a warp takes several at once.
    compare(Problem<float>(135, 33, 3, true, 0.0F), Metric::dot, 1, false, NearestRoute::every);
  });
  return evtok_test::report();
}
