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
inline simde__m512d evtok_emulated_fmadd(simde__m512d a, simde__m512d b, simde__m512d c) {
  simde__m512d_private x = simde__m512d_to_private(a), y = simde__m512d_to_private(b),
                       z = simde__m512d_to_private(c);
  for (int lane = 0; lane < 8; ++lane) z.f64[lane] = __builtin_fma(x.f64[lane], y.f64[lane], z.f64[lane]);
  return simde__m512d_from_private(z);
}
#undef _mm512_fmadd_ps
#define _mm512_fmadd_ps(a, b, c) evtok_emulated_fmadd((a), (b), (c))
#undef _mm512_fmadd_pd
#define _mm512_fmadd_pd(a, b, c) evtok_emulated_fmadd((a), (b), (c))

#undef _mm512_madd_epi16  // an alias of four arguments there
#define _mm512_madd_epi16(a, b) simde_mm512_madd_epi16((a), (b))

#ifndef _MM_CMPINT_LE
#define _MM_CMPINT_LE 2
#define _mm512_cmp_epi32_mask(a, b, le) simde_mm512_cmple_epi32_mask((a), (b))
#endif

// The lowest lane.
inline float evtok_emulated_lowest(simde__m512 a) {
  const simde__m512_private lanes = simde__m512_to_private(a);
  float lowest = lanes.f32[0];
  for (int lane = 1; lane < 16; ++lane) lowest = lanes.f32[lane] < lowest ? lanes.f32[lane] : lowest;
  return lowest;
}
inline double evtok_emulated_lowest(simde__m512d a) {
  const simde__m512d_private lanes = simde__m512d_to_private(a);
  double lowest = lanes.f64[0];
  for (int lane = 1; lane < 8; ++lane) lowest = lanes.f64[lane] < lowest ? lanes.f64[lane] : lowest;
  return lowest;
}
inline int32_t evtok_emulated_lowest(simde__m512i a) {
  const simde__m512i_private lanes = simde__m512i_to_private(a);
  int32_t lowest = lanes.i32[0];
  for (int lane = 1; lane < 16; ++lane) lowest = lanes.i32[lane] < lowest ? lanes.i32[lane] : lowest;
  return lowest;
}
#ifndef _mm512_reduce_min_ps
#define _mm512_reduce_min_ps(a) evtok_emulated_lowest(a)
#define _mm512_reduce_min_pd(a) evtok_emulated_lowest(a)
#define _mm512_reduce_min_epi32(a) evtok_emulated_lowest(a)
#endif

// Whole numbers shifted towards minus infinity.
#ifndef _mm512_srai_epi32
inline simde__m512i evtok_emulated_srai(simde__m512i a, int bits) {
  simde__m512i_private lanes = simde__m512i_to_private(a);
  for (int lane = 0; lane < 16; ++lane) lanes.i32[lane] = lanes.i32[lane] >> bits;
  return simde__m512i_from_private(lanes);
}
#define _mm512_srai_epi32(a, bits) evtok_emulated_srai((a), (bits))
#endif

// Whole numbers to float32 and back, to the nearest; what an int32 does not hold, and NaN, is INT32_MIN.
#ifndef _mm512_cvtps_epi32
inline simde__m512i evtok_emulated_to_whole(simde__m512 a) {
  const simde__m512_private from = simde__m512_to_private(a);
  simde__m512i_private to;
  for (int lane = 0; lane < 16; ++lane) {
    const float x = from.f32[lane];
    to.i32[lane] = x >= -0x1p31F && x < 0x1p31F ? static_cast<int32_t>(__builtin_nearbyintf(x)) : INT32_MIN;
  }
  return simde__m512i_from_private(to);
}
#define _mm512_cvtps_epi32(a) evtok_emulated_to_whole(a)
#endif
#ifndef _mm512_cvtepi32_ps
inline simde__m512 evtok_emulated_to_float(simde__m512i a) {
  const simde__m512i_private from = simde__m512i_to_private(a);
  simde__m512_private to;
  for (int lane = 0; lane < 16; ++lane) to.f32[lane] = static_cast<float>(from.i32[lane]);
  return simde__m512_from_private(to);
}
#define _mm512_cvtepi32_ps(a) evtok_emulated_to_float(a)
#endif

// Of AVX512-BF16: the term in the upper bits first, each product added in a fused step; subnormal numbers are
// 0, going in and coming out.
using __m512bh = simde__m512;
inline simde__m512 evtok_emulated_dpbf16(simde__m512 sums, simde__m512 a, simde__m512 b) {
  simde__m512_private s = simde__m512_to_private(sums), x = simde__m512_to_private(a),
                      y = simde__m512_to_private(b);
  const auto flushed = [](float value) { return __builtin_fabsf(value) < 0x1p-126F ? value * 0.0F : value; };
  const auto term = [&](uint32_t pair, bool upper) {
    return flushed(__builtin_bit_cast(float, upper ? pair & 0xFFFF0000U : pair << 16));
  };
  for (int lane = 0; lane < 16; ++lane)
    for (const bool upper : {true, false})
      s.f32[lane] =
          flushed(__builtin_fmaf(term(x.u32[lane], upper), term(y.u32[lane], upper), flushed(s.f32[lane])));
  return simde__m512_from_private(s);
}
#undef _mm512_dpbf16_ps
#define _mm512_dpbf16_ps(sums, a, b) evtok_emulated_dpbf16((sums), (a), (b))

#ifndef _mm512_cvtepu8_epi32
inline simde__m512i evtok_emulated_cvtepu8(simde__m128i a) {
  const simde__m128i_private bytes = simde__m128i_to_private(a);
  simde__m512i_private lanes;
  for (int lane = 0; lane < 16; ++lane) lanes.i32[lane] = bytes.u8[lane];
  return simde__m512i_from_private(lanes);
}
#define _mm512_cvtepu8_epi32(a) evtok_emulated_cvtepu8((a))
#endif
