#include "evtok/ragged_merge.hpp"

#include <algorithm>
#include <stdexcept>

#include "evtok/parallel.hpp"

namespace evtok {
namespace {

template <class T>
void scatter(const MergedColumn& column, size_t k, int64_t first, int64_t origin, const uint32_t* rows,
             size_t n) {
  T* __restrict out = static_cast<T*>(column.out) + origin;
  if (column.sources[k] == nullptr) {
    const T fill = static_cast<T>(column.fills[k]);
    for (size_t j = 0; j < n; ++j) out[rows[j]] = fill;
  } else {
    const T* __restrict source = static_cast<const T*>(column.sources[k]) + first;
    for (size_t j = 0; j < n; ++j) out[rows[j]] = source[j];
  }
}

void scatter_by_width(const MergedColumn& column, size_t k, int64_t first, int64_t origin,
                      const uint32_t* rows, size_t n) {
  switch (column.width) {
  case 1:
    return scatter<uint8_t>(column, k, first, origin, rows, n);
  case 2:
    return scatter<uint16_t>(column, k, first, origin, rows, n);
  case 4:
    return scatter<uint32_t>(column, k, first, origin, rows, n);
  default:
    return scatter<uint64_t>(column, k, first, origin, rows, n);
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
  constexpr int64_t kBlock = 512;  // rows of so many events stay in the cache while every column is written
  constexpr uint32_t kAhead = 8;
  parallel_for(n_events, 8 * kBlock, threads, [&](int64_t begin, int64_t end) {
    // Where each object goes is worked out once for all columns, because most collections hold 0 or 1 objects
    // and the branch on that is what costs.
    std::vector<uint32_t> rows;  // relative to the first row of the block
    uint32_t next[kBlock];       // the next free row of each event of the block
    for (int64_t first = begin; first < end; first += kBlock) {
      const int64_t events = std::min(kBlock, end - first);
      const int64_t origin = merged[first];
      if (merged[first + events] - origin > UINT32_MAX)
        throw std::length_error("too many objects in 512 events");
      for (int64_t i = 0; i < events; ++i) next[i] = static_cast<uint32_t>(merged[first + i] - origin);
      for (size_t k = 0; k < collections.size(); ++k) {
        const auto& offsets = collections[k];
        const auto objects = static_cast<size_t>(offsets[first + events] - offsets[first]);
        if (rows.size() < objects + kAhead) rows.resize(objects + kAhead);
        uint32_t* row = rows.data();
        for (int64_t i = 0; i < events; ++i) {
          // Eight rows are written whatever the count is; the next event overwrites what is too many. So the
          // count is rarely branched on.
          const auto count = static_cast<uint32_t>(offsets[first + i + 1] - offsets[first + i]);
          for (uint32_t j = 0; j < kAhead; ++j) row[j] = next[i] + j;
          for (uint32_t j = kAhead; j < count; ++j) row[j] = next[i] + j;
          next[i] += count;
          row += count;
        }
        for (const auto& column : columns)
          scatter_by_width(column, k, offsets[first], origin, rows.data(), objects);
      }
    }
  });
}

}  // namespace evtok
