// Object types with AVX-512: a table of 16 in a register; a block with a higher code is left to the caller.
#include <immintrin.h>

#include "evtok/type_codes.hpp"

namespace evtok {

bool sum_types_avx512(const uint8_t* codes, int64_t n, const int32_t* contributions, bool fresh,
                      int32_t* accumulator) {
  constexpr int kVectors = 2;  // of 16 codes each, so that the loop costs little beside them
  const __m512i table = _mm512_loadu_si512(contributions);
  __m512i all_codes = _mm512_setzero_si512(), all_sums = _mm512_setzero_si512();
  int64_t i = 0;
  for (; i + 16 * kVectors <= n; i += 16 * kVectors)
    for (int v = 0; v < kVectors; ++v) {
      const __m512i code =
          _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i + 16 * v)));
      __m512i sum = _mm512_permutexvar_epi32(code, table);
      all_codes = _mm512_or_si512(all_codes, code);
      all_sums = _mm512_or_si512(all_sums, sum);
      int32_t* place = accumulator + i + 16 * v;
      if (!fresh) sum = _mm512_add_epi32(sum, _mm512_loadu_si512(place));
      _mm512_storeu_si512(place, sum);
    }
  const bool left_known = sum_types_left(codes, i, n, contributions, fresh, accumulator);
  const bool in_table = _mm512_test_epi32_mask(all_codes, _mm512_set1_epi32(-16)) == 0;
  const bool all_known = _mm512_test_epi32_mask(all_sums, _mm512_set1_epi32(kUnknown)) == 0;
  return in_table && all_known && left_known;
}

}  // namespace evtok
