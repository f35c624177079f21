#include "evtok/ragged_merge.hpp"

#include <algorithm>
#include <stdexcept>

#include "evtok/parallel.hpp"

namespace evtok {
namespace {

template <class T>
void scatter(const MergedColumn& column, size_t k, int64_t first, const std::vector<int64_t>& rows) {
  T* out = static_cast<T*>(column.out);
  const auto n = rows.size();
  if (column.sources[k] == nullptr) {
    const T fill = static_cast<T>(column.fills[k]);
    for (size_t j = 0; j < n; ++j) out[rows[j]] = fill;
  } else {
    const T* source = static_cast<const T*>(column.sources[k]) + first;
    for (size_t j = 0; j < n; ++j) out[rows[j]] = source[j];
  }
}

void scatter_by_width(const MergedColumn& column, size_t k, int64_t first, const std::vector<int64_t>& rows) {
  switch (column.width) {
  case 1:
    return scatter<uint8_t>(column, k, first, rows);
  case 2:
    return scatter<uint16_t>(column, k, first, rows);
  case 4:
    return scatter<uint32_t>(column, k, first, rows);
  default:
    return scatter<uint64_t>(column, k, first, rows);
  }
}

}  // namespace

void merge_offsets(const std::vector<CollectionOffsets>& collections, int64_t n_events, int64_t* merged) {
  std::fill(merged, merged + n_events + 1, int64_t{0});
  for (const auto& offsets : collections) {
    const int64_t start = offsets[0];
    for (int64_t i = 0; i <= n_events; ++i) merged[i] += offsets[i] - start;
  }
}

void merge_columns(const std::vector<CollectionOffsets>& collections, int64_t n_events, const int64_t* merged,
                   const std::vector<MergedColumn>& columns, int threads) {
  for (const auto& column : columns)
    if (column.width != 1 && column.width != 2 && column.width != 4 && column.width != 8)
      throw std::invalid_argument("column: expected values of 1, 2, 4 or 8 bytes");
  constexpr int64_t kBlock =
      512;  // the rows of a block of events stay in the cache while every column is written
  parallel_for(n_events, 8 * kBlock, threads, [&](int64_t begin, int64_t end) {
    // Where each object goes is worked out once for all columns, because most collections hold 0 or 1 objects
    // and the branch on that is what costs.
    std::vector<int64_t> rows;
    int64_t next[kBlock];  // the next free row of each event of the block
    for (int64_t first = begin; first < end; first += kBlock) {
      const int64_t events = std::min(kBlock, end - first);
      std::copy(merged + first, merged + first + events, next);
      for (size_t k = 0; k < collections.size(); ++k) {
        const auto& offsets = collections[k];
        rows.resize(static_cast<size_t>(offsets[first + events] - offsets[first]));
        int64_t* row = rows.data();
        for (int64_t i = 0; i < events; ++i)
          for (int64_t count = offsets[first + i + 1] - offsets[first + i]; count > 0; --count)
            *row++ = next[i]++;
        for (const auto& column : columns) scatter_by_width(column, k, offsets[first], rows);
      }
    }
  });
}

}  // namespace evtok
