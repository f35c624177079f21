#include "evtok/offsets.hpp"

#include <algorithm>
#include <atomic>

#include "evtok/parallel.hpp"

namespace evtok {
namespace {

constexpr int64_t kGrain = int64_t{1} << 16;  // events: worth handing to a thread

// Whether events begin to end - 1 are good, without branches. Differences are taken in uint64: hostile
// offsets must not overflow. Of numbers that are not negative, one that decreases gives more than any limit.
template <class I> bool good(const I* offsets, int64_t begin, int64_t end, int64_t limit) {
  bool too_many = false;
  int64_t signs = 0;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t start = static_cast<int64_t>(offsets[i]), stop = static_cast<int64_t>(offsets[i + 1]);
    too_many |= static_cast<uint64_t>(stop) - static_cast<uint64_t>(start) > static_cast<uint64_t>(limit);
    signs |= stop;
  }
  return !too_many && signs >= 0;
}

}  // namespace

template <class I>
OffsetsCheck check_offsets(const I* offsets, int64_t n_events, int64_t content, int64_t max_per_event,
                           int threads) {
  const auto at = [&](int64_t i) { return static_cast<int64_t>(offsets[i]); };
  if (at(0) < 0) return {OffsetsFault::start, -1, at(0)};
  const int64_t limit = std::max<int64_t>(max_per_event, 0);
  std::atomic<bool> faulty{false};
  if (threads == 1 || n_events <= kGrain)
    faulty = !good(offsets, 0, n_events, limit);
  else
    parallel_for(n_events, kGrain, threads, [&](int64_t begin, int64_t end) {
      if (!good(offsets, begin, end, limit)) faulty = true;
    });
  if (faulty) {  // one more pass finds the first fault
    for (int64_t i = 0; i < n_events; ++i) {
      if (at(i + 1) < at(i)) return {OffsetsFault::decreasing, i, at(i + 1)};
      if (at(i + 1) - at(i) > limit) return {OffsetsFault::too_many, i, at(i + 1) - at(i)};
    }
  }
  if (at(n_events) > content) return {OffsetsFault::past_end, n_events - 1, at(n_events)};
  return {OffsetsFault::none, -1, 0};
}

template OffsetsCheck check_offsets<int32_t>(const int32_t*, int64_t, int64_t, int64_t, int);
template OffsetsCheck check_offsets<uint32_t>(const uint32_t*, int64_t, int64_t, int64_t, int);
template OffsetsCheck check_offsets<int64_t>(const int64_t*, int64_t, int64_t, int64_t, int);

}  // namespace evtok
