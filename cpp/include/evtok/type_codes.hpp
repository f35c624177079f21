// Object types to contributions: a look-up in a table of 256, for a whole block.
#pragma once

#include <cstdint>

#include "evtok/bins.hpp"

namespace evtok {

/// Contract: accumulator[i] = contributions[codes[i]], added to what is there unless `fresh` (see
/// add_contribution). codes (n,) borrowed; contributions (256,) borrowed, each a sum or kUnknown; accumulator
/// (n,) written.
EVTOK_FORMULA void accumulate_types(const uint8_t* codes, int64_t n, const int32_t* contributions, bool fresh,
                                    int32_t* accumulator) {
  for (int64_t i = 0; i < n; ++i)
    accumulator[i] =
        fresh ? contributions[codes[i]] : add_contribution(accumulator[i], contributions[codes[i]]);
}

/// The same without flags, for blocks that turn out to have none: false, with the accumulator spoiled, if one
/// is unknown.
using SumTypes = bool (*)(const uint8_t* codes, int64_t n, const int32_t* contributions, bool fresh,
                          int32_t* accumulator);

/// SumTypes code by code, for what whole vectors leave over: codes begin to n - 1.
EVTOK_FORMULA bool sum_types_left(const uint8_t* codes, int64_t begin, int64_t n,
                                  const int32_t* contributions, bool fresh, int32_t* accumulator) {
  int32_t all = 0;
  for (int64_t i = begin; i < n; ++i) {
    const int32_t sum = contributions[codes[i]];
    all |= sum;
    accumulator[i] = fresh ? sum : accumulator[i] + sum;
  }
  return (all & kUnknown) == 0;
}

/// The one for a table: the vector kernels know codes up to 15 only.
SumTypes sum_types_for(Isa isa, const int32_t* contributions);

bool sum_types_avx2(const uint8_t*, int64_t, const int32_t*, bool, int32_t*);
bool sum_types_avx512(const uint8_t*, int64_t, const int32_t*, bool, int32_t*);

}  // namespace evtok
