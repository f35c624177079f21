#include "evtok/digitize.hpp"

#include <algorithm>

#include "evtok/bin_search.hpp"
#include "evtok/parallel.hpp"
#include "evtok/stream_out.hpp"

namespace evtok {

template <class T>
void digitize(const T* x, int64_t n, const T* edges, int64_t n_edges, bool right, bool falling, int threads,
              int64_t* codes) {
  const BinSearch<T> search(edges, n_edges, right, active_isa(), n);
  constexpr int64_t kBlock = 2048;         // int32 codes of a block stay in L1
  constexpr int64_t kGrain = 32 * kBlock;  // about 50 µs of work: worth handing to a thread
  const bool stream = worth_streaming(n * static_cast<int64_t>(sizeof *codes));
  parallel_for(n, kGrain, threads, [&](int64_t begin, int64_t end) {
    alignas(64) int32_t block[kBlock];
    for (int64_t i = begin; i < end; i += kBlock) {
      const int64_t rows = std::min(kBlock, end - i);
      search.accumulate(x + i, rows, true, block);
      if (falling)
        for (int64_t r = 0; r < rows; ++r) block[r] = static_cast<int32_t>(n_edges) - block[r];
      copy_out(block, rows, 0, codes + i, stream);
    }
  });
}

template void digitize<float>(const float*, int64_t, const float*, int64_t, bool, bool, int, int64_t*);
template void digitize<double>(const double*, int64_t, const double*, int64_t, bool, bool, int, int64_t*);

}  // namespace evtok
