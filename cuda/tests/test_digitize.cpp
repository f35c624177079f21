#include "evtok/digitize.hpp"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"
#include "digitize.cuh"
#include "orders.hpp"

namespace {

template <class T> void same_as_on_the_cpu(int64_t n, int32_t n_edges) {
  std::mt19937_64 random(static_cast<uint64_t>(n * 31 + n_edges));
  std::normal_distribution<T> normal;
  std::vector<T> edges(static_cast<size_t>(n_edges)), x(static_cast<size_t>(n));
  for (T& edge : edges) edge = normal(random);
  std::sort(edges.begin(), edges.end());
  const T odd[] = {std::numeric_limits<T>::quiet_NaN(),
                   std::numeric_limits<T>::infinity(),
                   -std::numeric_limits<T>::infinity(),
                   T(0),
                   -T(0),
                   std::numeric_limits<T>::denorm_min()};
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = i % 5 == 1 && n_edges > 0 ? edges[i % edges.size()] : i % 7 == 2 ? odd[i % 6] : normal(random);
  for (const bool right : {false, true})
    for (const bool falling : {false, true}) {
      std::vector<int64_t> expected(x.size()), codes(x.size(), -7);
      evtok::digitize(x.data(), n, edges.data(), n_edges, right, falling, 1, expected.data());
      CHECK(evtok::cuda::digitize(x.data(), n, edges.data(), n_edges, right, falling, codes.data(),
                                  nullptr) == cudaSuccess);
      CHECK(codes == expected);
    }
}

}  // namespace

int main() {
  evtok_test::in_every_order([] {
    for (const int64_t n : {0, 1, 255, 256, 257, 5000})
      for (const int32_t n_edges : {0, 1, 2, 41, 4096, 4097}) {
        same_as_on_the_cpu<float>(n, n_edges);
        same_as_on_the_cpu<double>(n, n_edges);
      }
  });
  return evtok_test::report();
}
