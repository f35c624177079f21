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
