// Stands in for the compiler's <immintrin.h>: AVX-512 in plain C++ by SIMDe, so that a CPU without it can
// test our code.
#pragma once

#define SIMDE_NO_NATIVE
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

// What SIMDe 0.7.4 (Debian 12) lacks.
#ifndef __mmask8
#define __mmask8 simde__mmask8
#endif
#ifndef __mmask16
#define __mmask16 simde__mmask16
#endif
#ifndef _mm512_cmpneq_epi32_mask
#define _mm512_cmpneq_epi32_mask(a, b) static_cast<simde__mmask16>(~simde_mm512_cmpeq_epi32_mask((a), (b)))
#endif

// SIMDe 0.7.4 rounds the product of a fused multiply-add; ours is rounded once.
inline simde__m512 evtok_emulated_fmadd(simde__m512 a, simde__m512 b, simde__m512 c) {
  simde__m512_private x = simde__m512_to_private(a), y = simde__m512_to_private(b),
                      z = simde__m512_to_private(c);
  for (int lane = 0; lane < 16; ++lane) z.f32[lane] = __builtin_fmaf(x.f32[lane], y.f32[lane], z.f32[lane]);
  return simde__m512_from_private(z);
}
#undef _mm512_fmadd_ps
#define _mm512_fmadd_ps(a, b, c) evtok_emulated_fmadd((a), (b), (c))
