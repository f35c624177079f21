// Exact: every value of the result has one right place. Sweeps event counts around the block size and thread
// counts.
#include "evtok/ragged_merge.hpp"

#include <stdexcept>

#include "check.hpp"

using namespace evtok;

namespace {

// K collections whose event i holds (i * (k + 3)) % (k + 2) objects; an int32 collection, an int64 one that
// does not start at 0, and one that is empty everywhere.
void sweep(int64_t n_events, int threads) {
  std::vector<int32_t> narrow{0};
  std::vector<int64_t> wide{5}, none{0};
  for (int64_t i = 0; i < n_events; ++i) {
    narrow.push_back(narrow.back() + static_cast<int32_t>(i * 3 % 2));
    wide.push_back(wide.back() + (i % 97 == 5 ? 23 : i * 4 % 3));
    none.push_back(0);
  }
  std::vector<float> narrow_values, wide_values;
  for (int32_t j = 0; j < narrow.back(); ++j) narrow_values.push_back(static_cast<float>(j));
  for (int64_t j = 0; j < wide.back(); ++j) wide_values.push_back(static_cast<float>(-j));
  const std::vector<CollectionOffsets> collections{
      {none.data(), true}, {narrow.data(), false}, {wide.data(), true}};
  std::vector<int64_t> merged(static_cast<size_t>(n_events) + 1, -1);
  merge_offsets(collections, n_events, merged.data());
  const auto total = static_cast<size_t>(merged.back());
  CHECK(static_cast<int64_t>(total) == narrow.back() + wide.back() - 5);
  std::vector<float> values(total, 99.0F);
  std::vector<uint8_t> types(total, 99);
  merge_columns(collections, n_events, merged.data(),
                {{4, {nullptr, narrow_values.data(), wide_values.data()}, {0, 0, 0}, values.data()},
                 {1, {nullptr, nullptr, nullptr}, {7, 1, 2}, types.data()}},
                threads);
  int64_t wrong = 0;
  for (size_t i = 0; i < static_cast<size_t>(n_events); ++i) {
    auto row = static_cast<size_t>(merged[i]);
    for (int32_t j = narrow[i]; j < narrow[i + 1]; ++j, ++row)
      wrong += values[row] != static_cast<float>(j) || types[row] != 1;
    for (int64_t j = wide[i]; j < wide[i + 1]; ++j, ++row)
      wrong += values[row] != static_cast<float>(-j) || types[row] != 2;
    wrong += static_cast<int64_t>(row) != merged[i + 1];
  }
  CHECK(wrong == 0);
}

}  // namespace

int main() {
  for (const int64_t n_events : {0, 1, 2, 511, 512, 513, 4095, 4096, 4097, 20000})
    for (const int threads : {1, 2, 5}) sweep(n_events, threads);
  std::vector<int64_t> offsets{0, 1}, merged{0, 1};
  char out[3];
  CHECK_THROWS(merge_columns({{offsets.data(), true}}, 1, merged.data(), {{3, {nullptr}, {0}, out}}, 1),
               std::invalid_argument);
  return evtok_test::report();
}
