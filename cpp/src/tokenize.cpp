#include "evtok/tokenize.hpp"

#include <algorithm>
#include <mutex>
#include <numeric>

#include "evtok/parallel.hpp"

namespace evtok {
namespace {

constexpr int64_t kObjectGrain =
    1 << 15;  // objects, or objects and events, handed to a thread at a time: about 100 µs

template <class Out> Out* put(const std::vector<EventToken>& tokens, int64_t event, Out* out) {
  for (const EventToken& token : tokens)
    *out++ = static_cast<Out>(token.ids != nullptr ? token.ids[event] : token.id);
  return out;
}

// Objects begin..end of one event by falling value, equal ones as found; NaN last.
template <class T>
void sort_objects(const T* values, int64_t begin, int64_t end, std::vector<int64_t>& order) {
  order.resize(static_cast<size_t>(end - begin));
  std::iota(order.begin(), order.end(), begin);
  const auto before = [values](int64_t a, int64_t b) {
    const bool a_is_number = values[a] == values[a], b_is_number = values[b] == values[b];
    return a_is_number && (!b_is_number || values[a] > values[b]);
  };
  if (!std::is_sorted(order.begin(), order.end(), before))
    std::stable_sort(order.begin(), order.end(), before);
}

template <class Out>
RowStatistics assemble(const RowIds& rows, const SequencePlan& plan, const int64_t* offsets,
                       const int64_t* out_offsets, int64_t first_event, int64_t last_event, Out* out) {
  const int64_t begin = offsets[first_event], end = offsets[last_event], width = rows.width();
  std::vector<Out> ids(static_cast<size_t>((end - begin) * width));
  const RowStatistics statistics = rows.run(begin, end, ids.data(), false);
  const bool sorted = plan.sort32 != nullptr || plan.sort64 != nullptr;
  std::vector<int64_t> order;
  for (int64_t event = first_event; event < last_event; ++event) {
    const int64_t from = offsets[event], to = offsets[event + 1];
    const int64_t kept = std::min(to - from, plan.max_objects);
    Out* place = put(plan.before, event, out + out_offsets[event]);
    if (sorted) {
      if (plan.sort32 != nullptr)
        sort_objects(plan.sort32, from, to, order);
      else
        sort_objects(plan.sort64, from, to, order);
      for (int64_t k = 0; k < kept; ++k) {
        const Out* source = ids.data() + (order[static_cast<size_t>(k)] - begin) * width;
        place = std::copy(source, source + width, place);
      }
    } else {
      const Out* source = ids.data() + (from - begin) * width;
      place = std::copy(source, source + kept * width, place);
    }
    put(plan.after, event, place);
  }
  return statistics;
}

}  // namespace

TokenizeResult sequence_offsets(const int64_t* offsets, int64_t n_events, int64_t width,
                                const SequencePlan& plan, int64_t* out_offsets) {
  const int64_t fixed = static_cast<int64_t>(plan.before.size() + plan.after.size());
  TokenizeResult result;
  if (plan.max_objects == INT64_MAX) {  // nothing is truncated
    if (fixed == 0 && width == 1)
      std::copy_n(offsets, n_events + 1, out_offsets);
    else
      for (int64_t event = 0; event <= n_events; ++event)
        out_offsets[event] = event * fixed + offsets[event] * width;
    return result;
  }
  int64_t total = 0;
  out_offsets[0] = 0;
  for (int64_t event = 0; event < n_events; ++event) {
    const int64_t multiplicity = offsets[event + 1] - offsets[event];
    const int64_t kept = std::min(multiplicity, plan.max_objects);
    result.truncated_events += kept < multiplicity;
    result.truncated_objects += multiplicity - kept;
    total += fixed + kept * width;
    out_offsets[event + 1] = total;
  }
  return result;
}

template <class Out>
RowStatistics tokenize(const RowIds& rows, const SequencePlan& plan, const int64_t* offsets, int64_t n_events,
                       const int64_t* out_offsets, int threads, bool stream, Out* out) {
  RowStatistics total;
  std::mutex guard;  // one thread at a time adds up; each does so once for tens of thousands of objects
  const auto add = [&](const RowStatistics& part) {
    const std::lock_guard lock(guard);
    total.add(part);
  };
  const int64_t n_objects = offsets[n_events];
  if (plan.plain()) {
    parallel_for(n_objects, kObjectGrain, threads, [&](int64_t begin, int64_t end) {
      add(rows.run(begin, end, out + begin * rows.width(), stream));
    });
    return total;
  }
  parallel_for_events(offsets, n_events, kObjectGrain, threads, [&](int64_t first, int64_t last) {
    add(assemble(rows, plan, offsets, out_offsets, first, last, out));
  });
  return total;
}

template RowStatistics tokenize<int32_t>(const RowIds&, const SequencePlan&, const int64_t*, int64_t,
                                         const int64_t*, int, bool, int32_t*);
template RowStatistics tokenize<uint16_t>(const RowIds&, const SequencePlan&, const int64_t*, int64_t,
                                          const int64_t*, int, bool, uint16_t*);

}  // namespace evtok
