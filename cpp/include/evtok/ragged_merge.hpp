// Merges several ragged collections of the same events (jets, electrons, ...) into one ragged list per event.
//
// In event i of the result, the objects of the first collection come first, as found, then those of the
// second, and so on. Values are copied, never interpreted: a column is known by its width alone.
#pragma once

#include <cstdint>
#include <vector>

namespace evtok {

/// Offsets (n_events + 1,) of one collection, int64 or int32, borrowed. They have been checked: 0 or above,
/// never decreasing, ending within the columns. They need not start at 0.
struct CollectionOffsets {
  const void* values;
  bool is_int64;

  int64_t operator[](int64_t i) const {
    return is_int64 ? static_cast<const int64_t*>(values)[i] : static_cast<const int32_t*>(values)[i];
  }
};

/// One column of the result: for each collection, the column to copy, or a value for all of its objects.
struct MergedColumn {
  int width;  // bytes of a value: 1, 2, 4 or 8
  std::vector<const void*>
      sources;                  // (K,) each to offsets[k][n_events] values, borrowed; nullptr: use the fill
  std::vector<uint64_t> fills;  // (K,) the bits of the value, in the lowest `width` bytes
  void* out;                    // (merged[n_events],) written
};

/// Writes merged (n_events + 1,), starting at 0: where each event begins in the result.
void merge_offsets(const std::vector<CollectionOffsets>& collections, int64_t n_events, int64_t* merged);

/// Writes every column of the result; merged (n_events + 1,) is what merge_offsets wrote.
/// Throws std::invalid_argument for a width that is not 1, 2, 4 or 8.
void merge_columns(const std::vector<CollectionOffsets>& collections, int64_t n_events, const int64_t* merged,
                   const std::vector<MergedColumn>& columns, int threads);

}  // namespace evtok
