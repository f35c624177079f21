// Checks of ragged structure, made before any kernel trusts it.
#pragma once

#include <cstdint>

namespace evtok {

enum class OffsetsFault : int32_t { none = 0, start = 1, decreasing = 2, past_end = 3, too_many = 4 };

struct OffsetsCheck {
  OffsetsFault fault;
  int64_t event;  // the event at fault, or -1
  int64_t value;  // the offset (or the multiplicity, for too_many) at fault
};

/// offsets (n_events + 1,) borrowed: must start at 0 or above, never decrease, end at or below `content`; no
/// event may hold more than `max_per_event` objects. Reports the first fault. `threads` as for parallel_for.
template <class I>
OffsetsCheck check_offsets(const I* offsets, int64_t n_events, int64_t content, int64_t max_per_event,
                           int threads = 1);

}  // namespace evtok
