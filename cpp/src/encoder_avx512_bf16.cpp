// Dense layers on pairs of bfloat16 with AVX512-BF16: 12 rows x 32 columns in registers, two terms an
// instruction.
#include "evtok/encoder_kernels.hpp"
#include "evtok/float_lanes_avx512.hpp"

namespace evtok {
namespace {

// Lanes whose products are those of pairs. What passes through a float is bits alone: nothing is computed
// with it.
struct Pairs : Avx512Float {
  static EVTOK_FORMULA Vector fma(Vector a, Vector b, Vector c) {
    return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b);
  }
};

// bfloat16 in the upper bits of each lane: to nearest even, and 0 below 2^-55.
EVTOK_FORMULA __m512i rounded(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x), one = _mm512_set1_epi32(1);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), one);
  const __m512i up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd);
  const __m512i result = _mm512_and_si512(up, _mm512_set1_epi32(static_cast<int>(0xFFFF0000U)));
  const __m512i magnitude = _mm512_and_si512(result, _mm512_set1_epi32(0x7FFFFFFF));
  constexpr int kLeast = (127 - 55) << 23;  // 2^-55
  return _mm512_maskz_mov_epi32(_mm512_cmpge_epi32_mask(magnitude, _mm512_set1_epi32(kLeast)), result);
}

void pair_rows(const float* rows, int64_t step, int64_t n_rows, int64_t n_columns, float* to) {
  alignas(64) int32_t places[2][16];
  for (int i = 0; i < 16; ++i) {
    places[0][i] = 2 * i;
    places[1][i] = 2 * i + 1;
  }
  const __m512i even = _mm512_load_si512(places[0]), odd = _mm512_load_si512(places[1]);
  const auto lanes = [](int64_t n) __attribute__((always_inline)) {
    return static_cast<__mmask16>(n <= 0 ? 0 : n >= 16 ? 0xFFFF : (1 << n) - 1);
  };
  for (int64_t r = 0; r < n_rows; ++r) {
    const float* row = rows + r * step;
    float* pairs = to + r * step;
    for (int64_t c = 0; c < n_columns; c += 32) {
      const int64_t left = n_columns - c;
      const __m512i a = rounded(_mm512_maskz_mov_ps(lanes(left), _mm512_loadu_ps(row + c)));
      const __m512i b = rounded(_mm512_maskz_mov_ps(lanes(left - 16), _mm512_loadu_ps(row + c + 16)));
      const __m512i upper = _mm512_permutex2var_epi32(a, even, b),
                    lower = _mm512_permutex2var_epi32(a, odd, b);
      _mm512_storeu_si512(pairs + c / 2, _mm512_or_si512(upper, _mm512_srli_epi32(lower, 16)));
    }
  }
}

}  // namespace

EncoderKernels encoder_kernels_avx512_bf16() {
  EncoderKernels kernels = encoder_kernels_avx512();
  kernels.multiply_pairs = multiply_matrices<Pairs, 12, 2>;
  kernels.pair = pair_rows;
  return kernels;
}

bool products_are_fused_avx512_bf16() {
  uint32_t random = 1;
  const auto next = [&] { return (random = random * 1664525U + 1013904223U) >> 8; };
  const auto number = [&](uint32_t kept) {  // from 1/8 to 16, of either sign
    const uint32_t exponent = 124 + next() % 7;
    return __builtin_bit_cast(float, (next() << 31 | exponent << 23 | (next() & 0x7FFFFF)) & kept);
  };
  const auto bits = [](float x) { return __builtin_bit_cast(uint32_t, x); };
  for (int round = 0; round < 256; ++round) {
    const float a[2] = {number(0xFFFF0000U), number(0xFFFF0000U)};
    const float b[2] = {number(0xFFFF0000U), number(0xFFFF0000U)};
    // Close to minus the first product in every second round, where a product that was rounded would show.
    const float start = round % 2 == 0 ? number(0xFFFFFFFFU) : -(a[0] * b[0]) * (1.0F + 0x1p-20F);
    const auto pair_of = [&](const float (&x)[2]) {
      return Pairs::all(__builtin_bit_cast(float, bits(x[0]) | bits(x[1]) >> 16));
    };
    float found[16];
    Pairs::store(found, Pairs::fma(pair_of(a), pair_of(b), Pairs::all(start)));
    const float expected = __builtin_fmaf(a[1], b[1], __builtin_fmaf(a[0], b[0], start));
    for (const float lane : found)
      if (bits(lane) != bits(expected)) return false;
  }
  return true;
}

}  // namespace evtok
