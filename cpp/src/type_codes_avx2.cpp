// Object types with AVX2: a table of 8 in a register, or of 16 in two; a block with a higher code is left to
// the caller.
#include <immintrin.h>

#include "evtok/type_codes.hpp"

namespace evtok {
namespace {

constexpr int kVectors = 4;  // of 8 codes each, so that the loop costs little beside them

template <int kTableSize, bool kFresh>
bool sum_types(const uint8_t* codes, int64_t n, const int32_t* contributions, int32_t* accumulator) {
  const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(contributions));
  const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(contributions + 8));
  const __m256i seven = _mm256_set1_epi32(7);
  __m256i all_codes = _mm256_setzero_si256(), all_sums = _mm256_setzero_si256();
  int64_t i = 0;
  for (; i + 8 * kVectors <= n; i += 8 * kVectors)
    for (int v = 0; v < kVectors; ++v) {
      const __m128i eight_bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes + i + 8 * v));
      const __m256i code = _mm256_cvtepu8_epi32(eight_bytes);
      __m256i sum = _mm256_permutevar8x32_epi32(low, code);
      if (kTableSize > 8)
        sum =
            _mm256_blendv_epi8(sum, _mm256_permutevar8x32_epi32(high, code), _mm256_cmpgt_epi32(code, seven));
      all_codes = _mm256_or_si256(all_codes, code);
      all_sums = _mm256_or_si256(all_sums, sum);
      __m256i* place = reinterpret_cast<__m256i*>(accumulator + i + 8 * v);
      if (!kFresh) sum = _mm256_add_epi32(sum, _mm256_loadu_si256(place));
      _mm256_storeu_si256(place, sum);
    }
  const bool left_known = sum_types_left(codes, i, n, contributions, kFresh, accumulator);
  const bool in_table = _mm256_testz_si256(all_codes, _mm256_set1_epi32(-kTableSize));
  return in_table && _mm256_testz_si256(all_sums, _mm256_set1_epi32(kUnknown)) && left_known;
}

template <int kTableSize>
bool sum_types(const uint8_t* codes, int64_t n, const int32_t* contributions, bool fresh,
               int32_t* accumulator) {
  return fresh ? sum_types<kTableSize, true>(codes, n, contributions, accumulator)
               : sum_types<kTableSize, false>(codes, n, contributions, accumulator);
}

}  // namespace

bool sum_types_avx2(const uint8_t* codes, int64_t n, const int32_t* contributions, bool fresh,
                    int32_t* accumulator) {
  bool few = true;  // none from 8 on is known, so a block that holds one is for the caller in any case
  for (int i = 8; i < 16; ++i) few &= contributions[i] == kUnknown;
  return few ? sum_types<8>(codes, n, contributions, fresh, accumulator)
             : sum_types<16>(codes, n, contributions, fresh, accumulator);
}

}  // namespace evtok
