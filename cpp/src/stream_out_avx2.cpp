// Ids to their output with AVX2, a line of the cache at a time.
#include <immintrin.h>

#include "evtok/stream_out.hpp"

namespace evtok {

void copy_ids_avx2(const int32_t* codes, int64_t n, int32_t base, int32_t* out, bool stream) {
  int64_t i = 0;
  if (stream) {
    for (; i < n && reinterpret_cast<uintptr_t>(out + i) % 64 != 0; ++i) out[i] = codes[i] + base;
    const __m256i bases = _mm256_set1_epi32(base);
    for (; i + 16 <= n; i += 16)
      for (int half = 0; half < 16; half += 8) {
        const auto* from = reinterpret_cast<const __m256i*>(codes + i + half);
        _mm256_stream_si256(reinterpret_cast<__m256i*>(out + i + half),
                            _mm256_add_epi32(_mm256_loadu_si256(from), bases));
      }
    _mm_sfence();  // before another thread is told that the block is there
  }
  for (; i < n; ++i) out[i] = codes[i] + base;
}

}  // namespace evtok
