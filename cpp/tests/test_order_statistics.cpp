#include "evtok/order_statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "check.hpp"

using namespace evtok;

namespace {

template <class T> void keys_sort_as_values() {
  using L = std::numeric_limits<T>;
  const std::vector<T> rising = {-L::infinity(),  L::lowest(), T(-1), -L::min(), -L::denorm_min(), T(0),
                                 L::denorm_min(), L::min(),    T(1),  L::max(),  L::infinity()};
  for (size_t i = 1; i < rising.size(); ++i) CHECK(sortable_key(rising[i - 1]) < sortable_key(rising[i]));
  CHECK(sortable_key(T(-0.0)) == sortable_key(T(0)));
}

// The value of one rank found digit by digit, with the given number of threads and tables.
template <class T> T select(const std::vector<T>& x, uint64_t rank, int threads, int64_t n_tables) {
  uint64_t prefix = 0;
  for (int known = 0; known < static_cast<int>(sizeof(T)) / 2; ++known) {
    std::vector<uint64_t> counts(static_cast<size_t>(n_tables * kDigits)),
        skipped(static_cast<size_t>(2 * n_tables));
    const DigitPass<T> pass{
        std::numeric_limits<T>::lowest(), std::numeric_limits<T>::max(), false, known, &prefix, 1};
    const int64_t n = static_cast<int64_t>(x.size());
    count_digits(x.data(), n / 3, pass, threads, n_tables, counts.data(), skipped.data());
    count_digits(x.data() + n / 3, n - n / 3, pass, threads, n_tables, counts.data(), skipped.data());
    uint64_t digit = 0;
    for (;; ++digit) {
      uint64_t here = 0;
      for (int64_t t = 0; t < n_tables; ++t) here += counts[static_cast<size_t>(t * kDigits) + digit];
      if (rank < here) break;
      rank -= here;
    }
    prefix = prefix << kDigitBits | digit;
  }
  for (const T value : x)
    if (sortable_key(value) == prefix) return value;
  return std::numeric_limits<T>::quiet_NaN();
}

template <class T> void ranks_equal_sorting() {
  std::vector<T> x;
  uint64_t state = 1;
  for (int i = 0; i < 200'000; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const T value = static_cast<T>(static_cast<int64_t>(state)) / T(1e12);
    x.push_back(i % 3 == 0 ? T(static_cast<int>(value) % 7) : value);  // a third are ties
  }
  std::vector<T> sorted = x;
  std::sort(sorted.begin(), sorted.end());
  for (const uint64_t rank :
       {uint64_t{0}, uint64_t{1}, uint64_t{99'999}, uint64_t{123'456}, uint64_t{199'999}})
    for (const int threads : {1, 2, 7}) CHECK(select(x, rank, threads, threads) == sorted[rank]);
}

void invalid_values_and_zeros_are_counted_apart() {
  const std::vector<float> x = {std::nanf(""), -1.0f, 0.0f,
                                -0.0f,         2.0f,  std::numeric_limits<float>::infinity()};
  const uint64_t prefix = 0;
  for (const float lowest : {0.0f, std::numeric_limits<float>::denorm_min()}) {  // of a root, of a logarithm
    const DigitPass<float> pass{lowest, std::numeric_limits<float>::max(), true, 0, &prefix, 1};
    std::vector<uint64_t> counts(kDigits), skipped(2);
    count_digits(x.data(), 6, pass, 1, 1, counts.data(), skipped.data());
    CHECK(skipped[0] == 3);
    CHECK(skipped[1] == 2);
    CHECK(counts[sortable_key(2.0f) >> 16] == 1);
  }
}

}  // namespace

int main() {
  keys_sort_as_values<float>();
  keys_sort_as_values<double>();
  ranks_equal_sorting<float>();
  ranks_equal_sorting<double>();
  invalid_values_and_zeros_are_counted_apart();
  return evtok_test::report();
}
