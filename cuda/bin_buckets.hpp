// A table that finds the bin of a float32 value with one look, for the fast kernel of row_ids.cu.
//
// A value falls into a bucket by a function that never decreases, so a bucket holds all values of a range,
// and the edges in it are known. With none in it, or with one (or equal ones), the digit of its values is
// decided by one comparison. A bucket that holds more, or where a value may be flagged, leaves its values to
// the specification (bins.hpp). The bucket of an edge is found by the same function, so rounding cannot put
// the two on different sides: which function is taken changes the time, never a digit.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "evtok/bins.hpp"

namespace evtok::cuda {

/// The function: x scaled and rounded to an integer, or the bits of x in their order, for edges that lie
/// closer the smaller they are (log pT).
struct BinBuckets {
  int32_t n = 0;  // of buckets; 0: no table
  int32_t by_bits = 0;
  float scale = 0, offset = 0;  // bucket = round(x * scale + offset - 2^23)
  float last = 0;               // 2^23 + n - 1
  int32_t lowest = 0;           // of ordered_bits
  int32_t shift = 0;
};

/// Values below `edge` have the lower digit, others the upper one; 0xFFFF is no digit.
struct alignas(8) Bucket {
  float edge;
  uint32_t digits;  // lower, and upper << 16
};
inline constexpr uint32_t kNoDigit = 0xFFFF;

/// Integers in the order of the numbers, -0 that of 0.
EVTOK_FORMULA int32_t ordered_bits(float x) {
  const float number = x + 0.0f;
  int32_t bits;
  memcpy(&bits, &number, sizeof bits);
  return bits ^ ((bits >> 31) & 0x7FFFFFFF);
}

// Both go from 0 to n - 1 for any x, and never decrease over the numbers, the infinities included.
EVTOK_FORMULA int32_t bucket_by_bits(float x, const BinBuckets& b) {
  const int32_t key = ordered_bits(x);
  const uint32_t above =
      static_cast<uint32_t>(key > b.lowest ? key : b.lowest) - static_cast<uint32_t>(b.lowest);
  const uint32_t bucket = above >> b.shift, last = static_cast<uint32_t>(b.n - 1);
  return static_cast<int32_t>(bucket < last ? bucket : last);
}
EVTOK_FORMULA int32_t bucket_by_scale(float x, const BinBuckets& b) {
  // A float32 from 2^23 to 2^24 is an integer: the addition rounds to one, and its bits count up from those
  // of 2^23.
  const float place = fminf(fmaxf(fmaf(x, b.scale, b.offset), 8388608.0f), b.last);
  int32_t bits;
  memcpy(&bits, &place, sizeof bits);
  return bits - 0x4B000000;
}
EVTOK_FORMULA int32_t bucket_of(float x, const BinBuckets& b) {
  return b.by_bits != 0 ? bucket_by_bits(x, b) : bucket_by_scale(x, b);
}

struct BinBucketTable {
  BinBuckets function;
  std::vector<Bucket> buckets;  // (function.n,)
  int32_t left = 0;             // edges in buckets that hold several
};

/// Lays out the digits of a feature: (clamp(code, first, last) - origin), where a code outside is unknown or
/// clamped, see BinTable. On the host. table.edges (n_edges,) increasing, borrowed; `most` buckets at the
/// most. function.n is 0 where there is nothing to lay out (no edges).
BinBucketTable bin_buckets(const BinTable<float>& table, bool zero_is_digit_zero, int32_t most);

}  // namespace evtok::cuda
