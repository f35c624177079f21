// Events to ragged token sequences: object ids, and around them special tokens and tokens of the event.
//
// The sequence of an event is: before..., its objects (each `width` ids, as found or by falling pT), after...
// . Truncation keeps the first `max_objects` objects in that order.
#pragma once

#include <cstdint>
#include <vector>

#include "evtok/row_ids.hpp"

namespace evtok {

/// One token of every event beside its objects: a constant, or one id for each event.
struct EventToken {
  int32_t id = 0;
  const int32_t* ids = nullptr;  // (n_events,) borrowed, or null for the constant
};

struct SequencePlan {
  std::vector<EventToken> before, after;
  const float* sort32 = nullptr;   // (m,) borrowed: objects by falling value, equal ones as found; or null
  const double* sort64 = nullptr;  // the same, float64
  int64_t max_objects = INT64_MAX;

  /// True when the sequence is the objects as they lie in memory.
  bool plain() const {
    return before.empty() && after.empty() && sort32 == nullptr && sort64 == nullptr &&
           max_objects == INT64_MAX;
  }
};

struct TokenizeResult {
  RowStatistics rows;
  int64_t truncated_events = 0;
  int64_t truncated_objects = 0;
};

/// Fills out_offsets (n_events + 1,) for the sequences of `plan`; objects are rows offsets[i]..offsets[i+1]
/// of offsets (n_events + 1,), borrowed, checked. Counts what is truncated.
TokenizeResult sequence_offsets(const int64_t* offsets, int64_t n_events, int64_t width,
                                const SequencePlan& plan, int64_t* out_offsets);

/// Writes the ids of every event to out (out_offsets[n_events],). `stream` as in RowIds::run.
template <class Out>
RowStatistics tokenize(const RowIds& rows, const SequencePlan& plan, const int64_t* offsets, int64_t n_events,
                       const int64_t* out_offsets, int threads, bool stream, Out* out);

}  // namespace evtok
