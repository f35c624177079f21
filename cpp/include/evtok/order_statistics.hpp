// Exact order statistics of a stream, by counting digits of sortable keys.
//
// A value becomes an unsigned key that sorts as the values do; -0 and +0 have one key. A pass over the data
// counts one 16-bit digit of the keys that begin with a wanted prefix, from the highest digit down: two
// passes for float32, four for float64. Counts are integers, so neither order, chunks nor threads can change
// them.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "evtok/numerics.hpp"

namespace evtok {

inline constexpr int kDigitBits = 16;
inline constexpr int64_t kDigits = int64_t{1} << kDigitBits;

template <class T> using Key = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;

/// The key of a value that is not NaN.
template <class T> EVTOK_FORMULA Key<T> sortable_key(T x) {
  constexpr Key<T> sign = Key<T>{1} << (8 * sizeof(T) - 1);
  const Key<T> bits = x == T(0) ? 0 : std::bit_cast<Key<T>>(x);
  return (bits & sign) != 0 ? ~bits : bits | sign;
}

/// What one pass counts.
template <class T> struct DigitPass {
  T lowest, highest;         // closed range of valid values; others, and NaN, only count as invalid
  bool skip_zeros;           // exact zeros are left out; they are valid, whatever the range says
  int known;                 // digits of a prefix: 0 in the first pass
  const uint64_t* prefixes;  // (n_prefixes,) increasing, the wanted keys without their lower digits, borrowed
  int64_t n_prefixes;
};

/// Adds to the counts of one pass; callers give successive parts of the data.
/// x (n,) contiguous, borrowed. counts (n_tables, n_prefixes, kDigits) and skipped (n_tables, 2), row-major:
/// a thread works on one table at a time, so at most n_tables threads take part; the result is the sum over
/// tables. skipped counts the invalid values and the zeros left out.
template <class T>
void count_digits(const T* x, int64_t n, const DigitPass<T>& pass, int threads, int64_t n_tables,
                  uint64_t* counts, uint64_t* skipped);

}  // namespace evtok
