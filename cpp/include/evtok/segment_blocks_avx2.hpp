// What the reductions over events with AVX2 share: a block of a few events side by side, whose results leave
// in one vector. Included by files compiled for AVX2 alone.
//
// The lengths of events are close to random, so no branch may hang on them: an event goes on 16 values at a
// time, and what is left of it is always two masked loads, even of nothing. Blocks in which anything is
// invalid are left to the scalar kernel.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "evtok/numerics.hpp"
#include "evtok/segments.hpp"

namespace evtok {
namespace {

inline constexpr float kInfinity = __builtin_inff();

/// Sets the first `n` lanes of 8 x 32 bits; none where n is below 1, all where it is above 7.
EVTOK_FORMULA __m256i first_lanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/// The same of 4 x 64 bits.
EVTOK_FORMULA __m256i first_wide_lanes(int64_t n) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}

/// Events `first` to first + kEvents - 1; those from `end` on are empty.
template <class T, int kEvents> struct EventBlock {
  const Segments<T>& events;
  const int64_t* offsets;
  int64_t padded[kEvents + 1];

  EVTOK_FORMULA EventBlock(const Segments<T>& events_, int64_t first, int64_t end)
      : events(events_), offsets(events_.offsets + first) {
    if (first + kEvents <= end) return;
    for (int64_t q = 0; q <= kEvents; ++q) padded[q] = events.offsets[first + q < end ? first + q : end];
    offsets = padded;
  }
  EventBlock(const EventBlock&) = delete;

  /// Whether 16 values may be read from every place in the block.
  EVTOK_FORMULA bool before_end() const { return offsets[kEvents] + 16 <= events.n_values; }
  EVTOK_FORMULA int64_t n(int q) const { return offsets[q + 1] - offsets[q]; }
  EVTOK_FORMULA const T* values(int q) const { return events.values + offsets[q]; }
  EVTOK_FORMULA const T* weights(int q) const { return events.weights + (offsets[q] - events.weights_from); }
};

/// Where the results of a block go: to `out`, or aside where the block has events beyond the last.
template <int kEvents, class T> struct BlockResults {
  T* out;
  int64_t first, stop;
  T aside[kEvents];
  T* place;

  EVTOK_FORMULA BlockResults(T* out_, int64_t first_, int64_t end)
      : out(out_), first(first_), stop(first_ + kEvents < end ? first_ + kEvents : end),
        place(first_ + kEvents <= end ? out_ + first_ : aside) {}
  BlockResults(const BlockResults&) = delete;

  EVTOK_FORMULA void keep() const {
    if (place != aside) return;
    for (int64_t e = first; e < stop; ++e) out[e] = aside[e - first];
  }
};

}  // namespace
}  // namespace evtok
