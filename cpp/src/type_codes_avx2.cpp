// Object types with AVX2: a table of 16 in two registers; a block with a higher code is left to the caller.
#include <immintrin.h>

#include "evtok/type_codes.hpp"

namespace evtok {

bool sum_types_avx2(const uint8_t* codes, int64_t n, const int32_t* contributions, bool fresh,
                    int32_t* accumulator) {
  const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(contributions));
  const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(contributions + 8));
  const __m256i table_size = _mm256_set1_epi32(16), seven = _mm256_set1_epi32(7);
  __m256i known = _mm256_set1_epi32(-1), all = _mm256_setzero_si256();
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256i code =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes + i)));  // 8 bytes
    const __m256i upper = _mm256_cmpgt_epi32(code, seven);
    __m256i sum = _mm256_blendv_epi8(_mm256_permutevar8x32_epi32(low, code),
                                     _mm256_permutevar8x32_epi32(high, code), upper);
    known = _mm256_and_si256(known, _mm256_cmpgt_epi32(table_size, code));
    all = _mm256_or_si256(all, sum);
    __m256i* place = reinterpret_cast<__m256i*>(accumulator + i);
    if (!fresh) sum = _mm256_add_epi32(sum, _mm256_loadu_si256(place));
    _mm256_storeu_si256(place, sum);
  }
  int32_t rest = 0;
  for (; i < n; ++i) {
    const int32_t sum = contributions[codes[i]];
    rest |= sum;
    accumulator[i] = fresh ? sum : accumulator[i] + sum;
  }
  const bool no_unknown = _mm256_testz_si256(all, _mm256_set1_epi32(kUnknown)) && (rest & kUnknown) == 0;
  return no_unknown && _mm256_movemask_epi8(known) == -1;
}

}  // namespace evtok
