#include "evtok/offsets.hpp"

namespace evtok {

template <class I>
OffsetsCheck check_offsets(const I* offsets, int64_t n_events, int64_t content, int64_t max_per_event) {
  const auto at = [&](int64_t i) { return static_cast<int64_t>(offsets[i]); };
  if (at(0) < 0) return {OffsetsFault::start, -1, at(0)};
  const int64_t limit = max_per_event < 0 ? 0 : max_per_event;
  // One pass without branches decides whether all is well; a second one finds the first fault. Differences
  // are taken in uint64: hostile offsets must not overflow. Of numbers that are not negative, one that
  // decreases gives more than any limit.
  bool too_many = false;
  int64_t signs = 0;
  for (int64_t i = 0; i < n_events; ++i) {
    const uint64_t multiplicity = static_cast<uint64_t>(at(i + 1)) - static_cast<uint64_t>(at(i));
    too_many |= multiplicity > static_cast<uint64_t>(limit);
    signs |= at(i + 1);
  }
  if (too_many || signs < 0) {
    for (int64_t i = 0; i < n_events; ++i) {
      if (at(i + 1) < at(i)) return {OffsetsFault::decreasing, i, at(i + 1)};
      if (at(i + 1) - at(i) > limit) return {OffsetsFault::too_many, i, at(i + 1) - at(i)};
    }
  }
  if (at(n_events) > content) return {OffsetsFault::past_end, n_events - 1, at(n_events)};
  return {OffsetsFault::none, -1, 0};
}

template OffsetsCheck check_offsets<int32_t>(const int32_t*, int64_t, int64_t, int64_t);
template OffsetsCheck check_offsets<uint32_t>(const uint32_t*, int64_t, int64_t, int64_t);
template OffsetsCheck check_offsets<int64_t>(const int64_t*, int64_t, int64_t, int64_t);

}  // namespace evtok
