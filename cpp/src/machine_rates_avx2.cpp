// Independent multiply-adds with AVX2: 8 float32 lanes a vector.
#include <immintrin.h>

#include "evtok/machine_rates.hpp"

namespace evtok {

void multiply_adds_avx2(int64_t steps, float* lanes) {
  const __m256 half = _mm256_set1_ps(0.5F), one = _mm256_set1_ps(1.0F);
  __m256 a[kMultiplyAddVectors];
  for (__m256& vector : a) vector = _mm256_setzero_ps();
  for (int64_t step = 0; step < steps; ++step)
    for (__m256& vector : a) vector = _mm256_fmadd_ps(vector, half, one);
  for (int v = 0; v < kMultiplyAddVectors; ++v) _mm256_storeu_ps(lanes + 8 * v, a[v]);
}

}  // namespace evtok
