// Sums compare with ==: they are defined by their order, which no number of threads may change.
#include "evtok/code_sums.hpp"

#include <vector>

#include "check.hpp"

using namespace evtok;

namespace {

template <class T> struct Rows {
  int64_t n, n_dims, n_codes;
  std::vector<T> x;
  std::vector<int32_t> ids;

  Rows(int64_t n_, int64_t n_dims_, int64_t n_codes_) : n(n_), n_dims(n_dims_), n_codes(n_codes_) {
    uint64_t state = 1;
    const auto next = [&] { return state = state * 6364136223846793005u + 1442695040888963407u; };
    for (int64_t i = 0; i < n * n_dims; ++i) {
      const T value = static_cast<T>(static_cast<int64_t>(next()) >> 11);
      x.push_back(value /
                  static_cast<T>(int64_t{1} << (next() >> 58)));  // sizes apart: order shows in the bits
    }
    for (int64_t i = 0; i < n; ++i)
      ids.push_back(static_cast<int32_t>((next() >> 33) % static_cast<uint64_t>(n_codes + 1)) - 1);
  }
};

struct Sums {
  std::vector<int64_t> counts;
  std::vector<double> sums;
  bool operator==(const Sums&) const = default;

  explicit Sums(int64_t n_codes, int64_t n_dims)
      : counts(static_cast<size_t>(n_codes)), sums(static_cast<size_t>(n_codes * n_dims)) {}
};

template <class T> Sums one_after_another(const Rows<T>& rows) {
  Sums result(rows.n_codes, rows.n_dims);
  for (int64_t i = 0; i < rows.n; ++i) {
    const int64_t code = rows.ids[static_cast<size_t>(i)];
    if (code < 0) continue;
    ++result.counts[static_cast<size_t>(code)];
    for (int64_t j = 0; j < rows.n_dims; ++j)
      result.sums[static_cast<size_t>(code * rows.n_dims + j)] +=
          static_cast<double>(rows.x[static_cast<size_t>(i * rows.n_dims + j)]);
  }
  return result;
}

template <class T> void bits_depend_on_the_order_of_rows_alone() {
  for (const int64_t n : {0, 1, 7, 1023, 1024, 1025, 20'000})
    for (const int64_t n_dims : {1, 3, 4, 17})
      for (const int64_t n_codes : {1, 2, 5, 100}) {
        const Rows<T> rows(n, n_dims, n_codes);
        const Sums expected = one_after_another(rows);
        for (const int threads : {1, 2, 3, 8})
          for (const int64_t cut : {int64_t{0}, n / 3, n}) {
            Sums result(n_codes, n_dims);
            code_sums(rows.x.data(), cut, n_dims, rows.ids.data(), n_codes, threads, result.counts.data(),
                      result.sums.data());
            code_sums(rows.x.data() + cut * n_dims, n - cut, n_dims, rows.ids.data() + cut, n_codes, threads,
                      result.counts.data(), result.sums.data());
            CHECK(result == expected);
          }
      }
}

void ids_that_are_no_codes_are_found() {
  const std::vector<int32_t> ids = {0, -1, 2, 3, -2};
  CHECK(first_unknown_id(ids.data(), 3, 3) == -1);
  CHECK(first_unknown_id(ids.data(), 5, 3) == 3);
  CHECK(first_unknown_id(ids.data(), 5, 4) == 4);
  CHECK(first_unknown_id(ids.data(), 0, 1) == -1);
}

}  // namespace

int main() {
  bits_depend_on_the_order_of_rows_alone<float>();
  bits_depend_on_the_order_of_rows_alone<double>();
  ids_that_are_no_codes_are_found();
  return evtok_test::report();
}
