// Eight components of eight rows, with AVX2: from rows to one vector for each component. Included by files
// compiled for it alone.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "evtok/numerics.hpp"

namespace evtok {
namespace {

/// Pointers to the rows `first` to first + kRows - 1 of n rows; those after the last one point to it.
template <int kRows> struct RowPointers {
  const float* row[kRows];

  EVTOK_FORMULA RowPointers(const float* rows, int64_t first, int64_t n, int64_t stride) {
    for (int r = 0; r < kRows; ++r) row[r] = rows + (first + r < n ? first + r : n - 1) * stride;
  }
};

/// Four components of eight rows, from the halves of these: pair[r] holds those of row r beside those of row
/// r + 4.
EVTOK_FORMULA void transpose_half(const __m256 (&pair)[4], __m256* component) {
  const __m256 low01 = _mm256_unpacklo_ps(pair[0], pair[1]), high01 = _mm256_unpackhi_ps(pair[0], pair[1]);
  const __m256 low23 = _mm256_unpacklo_ps(pair[2], pair[3]), high23 = _mm256_unpackhi_ps(pair[2], pair[3]);
  component[0] = _mm256_shuffle_ps(low01, low23, 0x44);
  component[1] = _mm256_shuffle_ps(low01, low23, 0xEE);
  component[2] = _mm256_shuffle_ps(high01, high23, 0x44);
  component[3] = _mm256_shuffle_ps(high01, high23, 0xEE);
}

/// Components j to j + 7 of eight rows; row[r] + j points to eight floats that may be read.
EVTOK_FORMULA void transpose8(const float* const (&row)[8], int64_t j, __m256 (&component)[8]) {
  for (int half = 0; half < 2; ++half) {
    __m256 pair[4];
    for (int r = 0; r < 4; ++r)
      pair[r] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(row[r] + j + 4 * half)),
                                     _mm_loadu_ps(row[r + 4] + j + 4 * half), 1);
    transpose_half(pair, component + 4 * half);
  }
}

/// The same of rows in registers.
EVTOK_FORMULA void transpose8(const __m256 (&row)[8], __m256 (&component)[8]) {
  __m256 low[4], high[4];
  for (int r = 0; r < 4; ++r) {
    low[r] = _mm256_permute2f128_ps(row[r], row[r + 4], 0x20);
    high[r] = _mm256_permute2f128_ps(row[r], row[r + 4], 0x31);
  }
  transpose_half(low, component);
  transpose_half(high, component + 4);
}

/// The same where a row has only `width` < 8 components from j on; the others are 0.
EVTOK_FORMULA void transpose_rest(const float* const (&row)[8], int64_t j, int64_t width,
                                  __m256 (&component)[8]) {
  alignas(32) float copy[8][8];
  const __m256i there = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(width)),
                                           _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  const float* copies[8];
  for (int r = 0; r < 8; ++r) {
    _mm256_store_ps(copy[r], _mm256_maskload_ps(row[r] + j, there));
    copies[r] = copy[r];
  }
  transpose8(copies, 0, component);
}

}  // namespace
}  // namespace evtok
