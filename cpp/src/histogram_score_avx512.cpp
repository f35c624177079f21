// Values of bins with AVX-512: those of a histogram lie in two registers.
#include <immintrin.h>

#include "evtok/histogram_score.hpp"

namespace evtok {

void add_bin_values_avx512(const float* values, const int32_t* codes, int64_t n, float* scores) {
  const __m512 low = _mm512_loadu_ps(values), high = _mm512_loadu_ps(values + 16);
  for (int64_t i = 0; i < n; i += 16) {
    const __m512 value = _mm512_permutex2var_ps(low, _mm512_loadu_si512(codes + i), high);
    _mm512_storeu_ps(scores + i, _mm512_add_ps(_mm512_loadu_ps(scores + i), value));
  }
}

}  // namespace evtok
