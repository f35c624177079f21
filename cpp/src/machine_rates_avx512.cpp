// Independent multiply-adds with AVX-512: 16 float32 lanes a vector.
#include <immintrin.h>

#include "evtok/machine_rates.hpp"

namespace evtok {

void multiply_adds_avx512(int64_t steps, float* lanes) {
  const __m512 half = _mm512_set1_ps(0.5F), one = _mm512_set1_ps(1.0F);
  __m512 a[kMultiplyAddVectors];
  for (__m512& vector : a) vector = _mm512_setzero_ps();
  for (int64_t step = 0; step < steps; ++step)
    for (__m512& vector : a) vector = _mm512_fmadd_ps(vector, half, one);
  for (int v = 0; v < kMultiplyAddVectors; ++v) _mm512_storeu_ps(lanes + 16 * v, a[v]);
}

}  // namespace evtok
