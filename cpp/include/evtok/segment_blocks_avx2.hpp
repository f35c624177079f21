// What the reductions over events with AVX2 share: a block of a few events side by side, whose results leave
// in one vector. Included by files compiled for AVX2 alone.
//
// The lengths of events are close to random, so no branch may hang on them: an event goes on 16 values at a
// time, and what is left of it is always 16 more, of which those of the next events are cleared. (By plain
// loads: masked ones of values that come from memory were 2.4 times as slow on a Zen 4.) So the events at the
// very end of the values are left to the scalar kernel. What is invalid is sought when a block is done.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "evtok/numerics.hpp"
#include "evtok/segments.hpp"

namespace evtok {
namespace {

inline constexpr float kInfinity = __builtin_inff();

/// 16 x all bits, then 16 x none, for lanes of 32 or 64 bits: a load from 16 - n on sets the first n of them.
template <class Lane> struct alignas(64) LaneTable {
  Lane lanes[32];
  constexpr LaneTable() : lanes{} {
    for (int i = 0; i < 16; ++i) lanes[i] = Lane{-1};
  }
};
inline constexpr LaneTable<int32_t> kLanes32;
inline constexpr LaneTable<int64_t> kLanes64;

/// Sets the first `n` lanes of 8 x 32 bits; n from -8 to 16.
EVTOK_FORMULA __m256i first_lanes(int64_t n) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kLanes32.lanes + 16 - n));
}

/// The same of 4 x 64 bits; n from -12 to 16.
EVTOK_FORMULA __m256i first_wide_lanes(int64_t n) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kLanes64.lanes + 16 - n));
}

/// Where the blocks of kEvents events from `begin` on end: they are whole, and 16 values can be read from
/// every place in them. Events from there to `end`, a few, are for the scalar kernel.
template <int kEvents, class T>
EVTOK_FORMULA int64_t end_of_blocks(const Segments<T>& events, int64_t begin, int64_t end) {
  while (end > begin && events.offsets[end] + 16 > events.n_values) --end;
  return begin + (end - begin) / kEvents * kEvents;
}

}  // namespace
}  // namespace evtok
