#include "evtok/scalar_quantizer.hpp"

#include <algorithm>
#include <mutex>
#include <vector>

#include "evtok/bin_search.hpp"
#include "evtok/parallel.hpp"

namespace evtok {
namespace {

constexpr int64_t kBlock = 1024;          // a column, its digits and the ids of a block stay in L1
constexpr int64_t kValueGrain = 1 << 17;  // values handed to a thread at a time: about 100 µs

template <class T> std::vector<BinSearch<T>> searches_of(const ScalarLevels<T>& levels, int64_t n) {
  std::vector<BinSearch<T>> searches;
  int64_t begin = 0;
  for (int64_t j = 0; j < levels.n_dims; ++j) {
    searches.emplace_back(levels.thresholds + begin, levels.ends[j] - begin, levels.right, active_isa(), n);
    searches.back().table().check = true;
    begin = levels.ends[j];
  }
  return searches;
}

// One block of at most kBlock rows. Returns whether `invalid` was written, and holds an invalid row.
template <class T>
bool block_ids(const T* x, int64_t rows, const std::vector<BinSearch<T>>& searches, const int32_t* stride,
               int32_t* ids, int32_t* invalid) {
  alignas(64) T column[kBlock];
  alignas(64) int32_t digits[kBlock];
  const int64_t n_dims = static_cast<int64_t>(searches.size());
  bool clean = true;
  std::fill_n(ids, rows, 0);
  for (int64_t j = 0; j < n_dims; ++j) {
    const BinSearch<T>& search = searches[static_cast<size_t>(j)];
    for (int64_t i = 0; i < rows; ++i) column[i] = x[i * n_dims + j];
    if (!search.sum(column, rows, true, digits)) {
      search.accumulate(column, rows, true, digits);
      if (clean) std::fill_n(invalid, rows, 0);
      clean = false;
      for (int64_t i = 0; i < rows; ++i) {
        invalid[i] |= digits[i];  // the sign is set by kInvalid
        digits[i] &= ~kInvalid;
      }
    }
    for (int64_t i = 0; i < rows; ++i) ids[i] += digits[i] * stride[j];
  }
  return !clean;
}

}  // namespace

template <class T>
InvalidRows scalar_ids(const T* x, int64_t n, const ScalarLevels<T>& levels, const uint8_t* mask, int threads,
                       int32_t* ids) {
  const std::vector<BinSearch<T>> searches = searches_of(levels, n);
  const int64_t n_dims = levels.n_dims;
  InvalidRows total;
  std::mutex guard;  // only a block with an invalid row takes it
  const int64_t grain = std::max(kBlock, kValueGrain / n_dims / kBlock * kBlock);
  parallel_for(n, grain, threads, [&](int64_t begin, int64_t end) {
    alignas(64) int32_t invalid[kBlock];
    for (int64_t row = begin; row < end; row += kBlock) {
      const int64_t rows = std::min(kBlock, end - row);
      int32_t* place = ids + row;
      if (block_ids(x + row * n_dims, rows, searches, levels.stride, place, invalid)) {
        InvalidRows found;
        for (int64_t i = 0; i < rows; ++i) {
          if (invalid[i] >= 0) continue;
          place[i] = -1;
          if (mask != nullptr && mask[row + i] == 0) continue;
          found.add({1, row + i});
        }
        const std::lock_guard lock(guard);
        total.add(found);
      }
      if (mask != nullptr)
        for (int64_t i = 0; i < rows; ++i) place[i] = mask[row + i] == 0 ? -1 : place[i];
    }
  });
  return total;
}

template InvalidRows scalar_ids<float>(const float*, int64_t, const ScalarLevels<float>&, const uint8_t*, int,
                                       int32_t*);
template InvalidRows scalar_ids<double>(const double*, int64_t, const ScalarLevels<double>&, const uint8_t*,
                                        int, int32_t*);

}  // namespace evtok
