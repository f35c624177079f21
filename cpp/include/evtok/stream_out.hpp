// Copies a finished block of codes to its output, past the caches when the output is large.
//
// An output that is larger than the caches would be read into them only to be overwritten; streaming stores
// spare that read. For small outputs they would throw out of the caches what the caller is about to use.
#pragma once

#include <cstdint>

#include "evtok/isa.hpp"

#if defined(__SSE4_1__)
#include <smmintrin.h>
#endif

namespace evtok {

inline bool worth_streaming(int64_t bytes) {
  return bytes > (int64_t{8} << 20);
}

/// Writes codes + base. codes (n,) borrowed; out (n,) written. Out is uint16_t, int32_t or int64_t.
template <class Out>
inline void copy_out(const int32_t* codes, int64_t n, int32_t base, Out* out, bool stream) {
  int64_t i = 0;
#if defined(__SSE4_1__)
  if (stream && sizeof(Out) >= 4) {
    for (; i < n && reinterpret_cast<uintptr_t>(out + i) % 16 != 0; ++i)
      out[i] = static_cast<Out>(codes[i] + base);
    const __m128i bases = _mm_set1_epi32(base);
    for (; i + 4 <= n; i += 4) {
      const __m128i four = _mm_add_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i)), bases);
      __m128i* place = reinterpret_cast<__m128i*>(out + i);
      if constexpr (sizeof(Out) == 4) {
        _mm_stream_si128(place, four);
      } else {
        _mm_stream_si128(place, _mm_cvtepi32_epi64(four));
        _mm_stream_si128(place + 1, _mm_cvtepi32_epi64(_mm_unpackhi_epi64(four, four)));
      }
    }
    _mm_sfence();  // before another thread is told that the block is there
  }
#else
  (void)stream;
#endif
  for (; i < n; ++i) out[i] = static_cast<Out>(codes[i] + base);
}

/// copy_out of int32.
using CopyIds = void (*)(const int32_t* codes, int64_t n, int32_t base, int32_t* out, bool stream);
CopyIds copy_ids_for(Isa isa);

void copy_ids_avx2(const int32_t*, int64_t, int32_t, int32_t*, bool);

}  // namespace evtok
