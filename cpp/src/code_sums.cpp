#include "evtok/code_sums.hpp"

#include <algorithm>

#include "evtok/parallel.hpp"

namespace evtok {
namespace {

constexpr int64_t kBlock = 1024;  // rows whose numbers wait in the first cache

// The rows of the codes in [first, first + n_codes), in order.
template <class T>
void add_codes(const T* x, int64_t n, int64_t n_dims, const int32_t* ids, int64_t first, int64_t n_codes,
               int64_t* counts, double* sums) {
  int32_t mine[kBlock];
  const uint32_t base = static_cast<uint32_t>(first), width = static_cast<uint32_t>(n_codes);
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int32_t length = static_cast<int32_t>(std::min(kBlock, n - begin));
    const int32_t* const codes = ids + begin;
    int64_t n_mine = 0;
    for (int32_t i = 0; i < length; ++i) {  // without a branch: which thread a row belongs to is chance
      mine[n_mine] = i;
      n_mine += static_cast<uint32_t>(codes[i]) - base < width;  // -1 is far above
    }
    for (int64_t m = 0; m < n_mine; ++m) {
      const int64_t code = codes[mine[m]];
      const T* const row = x + (begin + mine[m]) * n_dims;
      double* const sum = sums + code * n_dims;
      ++counts[code];
      for (int64_t j = 0; j < n_dims; ++j) sum[j] += static_cast<double>(row[j]);
    }
  }
}

}  // namespace

int64_t first_unknown_id(const int32_t* ids, int64_t n, int64_t n_codes) {
  bool all_known = true;
  for (int64_t i = 0; i < n; ++i) all_known &= ids[i] >= -1 && ids[i] < n_codes;
  if (all_known) return -1;
  return std::find_if(ids, ids + n, [=](int32_t id) { return id < -1 || id >= n_codes; }) - ids;
}

template <class T>
void code_sums(const T* x, int64_t n, int64_t n_dims, const int32_t* ids, int64_t n_codes, int threads,
               int64_t* counts, double* sums) {
  // Each thread reads all ids; below some thousand numbers it would take longer to start than to help.
  constexpr int64_t kWorthAThread = 1 << 14;
  const int64_t parts = std::min({static_cast<int64_t>(checked_threads(threads)), n_codes,
                                  std::max<int64_t>(1, n * n_dims / kWorthAThread)});
  parallel_for(parts, 1, threads, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * n_codes / parts, last = end * n_codes / parts;
    add_codes(x, n, n_dims, ids, first, last - first, counts, sums);
  });
}

template void code_sums<float>(const float*, int64_t, int64_t, const int32_t*, int64_t, int, int64_t*,
                               double*);
template void code_sums<double>(const double*, int64_t, int64_t, const int32_t*, int64_t, int, int64_t*,
                                double*);

}  // namespace evtok
