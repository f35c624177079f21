// The coarse stage of nearest code with AVX2: 32 products of bytes an instruction.
#include <immintrin.h>

#include "evtok/nearest_coarse_scan.hpp"

namespace evtok {
namespace {

struct ByteLanes {
  using Vector = __m256i;
  static constexpr int width = 8, tile_rows = 4;
  static EVTOK_FORMULA Vector all(int32_t x) { return _mm256_set1_epi32(x); }
  static EVTOK_FORMULA Vector load(const int32_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const Vector*>(p));
  }
  static EVTOK_FORMULA void store(int32_t* p, Vector a) {
    _mm256_storeu_si256(reinterpret_cast<Vector*>(p), a);
  }
  static EVTOK_FORMULA Vector load_bytes(const int8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const Vector*>(p));
  }
  static EVTOK_FORMULA Vector load_words(const int16_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const Vector*>(p));
  }
  static EVTOK_FORMULA Vector all_quads(const uint8_t* p) {
    int32_t quad;
    __builtin_memcpy(&quad, p, sizeof quad);
    return _mm256_set1_epi32(quad);
  }
  static EVTOK_FORMULA Vector add_byte_products(Vector sum, Vector row, Vector code) {
    // As an instruction, one register for each sum: GCC 12 copies all sums in every step else.
    __asm__("vpaddw %1, %0, %0" : "+x"(sum) : "x"(_mm256_maddubs_epi16(row, code)));
    return sum;
  }
  static EVTOK_FORMULA Vector add_stretch(Vector total, Vector sum) {
    return _mm256_add_epi32(total, _mm256_madd_epi16(sum, _mm256_set1_epi16(1)));
  }
  static EVTOK_FORMULA Vector min(Vector a, Vector b) { return _mm256_min_epi32(a, b); }
};

}  // namespace

CoarseRow coarse_round_row_avx2(const int16_t* x, int64_t n, int32_t step, int64_t n_quads,
                                uint8_t* rounded) {
  return coarse_round_row(x, n, step, n_quads, rounded);
}

void coarse_minima_avx2(const CoarseView& codes, const uint8_t* x, int64_t n_rows, int64_t stride,
                        int32_t* minima) {
  coarse_minima<ByteLanes>(codes, x, n_rows, stride, minima);
}

int32_t coarse_product_avx2(const int16_t* a, const int16_t* b, int64_t n) {
  __m256i sum = _mm256_setzero_si256();
  for (int64_t i = 0; i < n; i += kProductWidth)
    sum =
        _mm256_add_epi32(sum, _mm256_madd_epi16(ByteLanes::load_words(a + i), ByteLanes::load_words(b + i)));
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4E));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xB1));
  return _mm_cvtsi128_si32(half);
}

void coarse_chains_f32_avx2(const ChainPair<float>* pairs, int64_t n, int64_t n_dims, bool dot,
                            float* values) {
  if (dot)
    chain_pairs<float, true>(pairs, n, n_dims, values);
  else
    chain_pairs<float, false>(pairs, n, n_dims, values);
}

void coarse_chains_f64_avx2(const ChainPair<double>* pairs, int64_t n, int64_t n_dims, bool dot,
                            double* values) {
  if (dot)
    chain_pairs<double, true>(pairs, n, n_dims, values);
  else
    chain_pairs<double, false>(pairs, n, n_dims, values);
}

}  // namespace evtok
