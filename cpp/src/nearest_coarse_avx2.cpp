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

int64_t coarse_places_avx2(const int32_t* minima, int64_t n, int32_t limit, int32_t* places) {
  const __m256i limits = _mm256_set1_epi32(limit);
  int64_t found = 0;
  for (int64_t first = 0; first < n; first += 64) {  // a word of bits at a time: fewer branches to guess
    const int64_t end = n - first < 64 ? n : first + 64;
    uint64_t within = 0;
    for (int64_t i = first; i < end; i += ByteLanes::width) {
      const __m256i beyond = _mm256_cmpgt_epi32(ByteLanes::load(minima + i), limits);
      const auto bits = static_cast<uint64_t>(~_mm256_movemask_ps(_mm256_castsi256_ps(beyond)) & 0xFF);
      within |= bits << (i - first);
    }
    for (; within != 0; within &= within - 1)
      places[found++] = static_cast<int32_t>(first) + __builtin_ctzll(within);
  }
  return found;
}

namespace {

// kCodes codes, whose loads of the row are shared.
template <int kCodes>
EVTOK_FORMULA void row_products(const int16_t* row, const int16_t* codes, int64_t n, const int32_t* ids,
                                __m256i (&sum)[4]) {
  const int16_t* code[kCodes];
  for (int k = 0; k < kCodes; ++k) code[k] = codes + ids[k] * n;
  for (__m256i& value : sum) value = _mm256_setzero_si256();
  for (int64_t i = 0; i < n; i += kProductWidth) {
    const __m256i x = ByteLanes::load_words(row + i);
    for (int k = 0; k < kCodes; ++k)
      sum[k] = _mm256_add_epi32(sum[k], _mm256_madd_epi16(x, ByteLanes::load_words(code[k] + i)));
  }
}

// The four sums of eight lanes each.
EVTOK_FORMULA __m128i add_lanes(const __m256i (&sum)[4]) {
  const __m256i pairs =
      _mm256_hadd_epi32(_mm256_hadd_epi32(sum[0], sum[1]), _mm256_hadd_epi32(sum[2], sum[3]));
  return _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
}

}  // namespace

void coarse_products_avx2(const int16_t* row, const int16_t* codes, int64_t n, const int32_t* ids,
                          int64_t n_ids, int32_t* products) {
  __m256i sum[4];
  int64_t i = 0;
  for (; i + 4 <= n_ids; i += 4) {
    row_products<4>(row, codes, n, ids + i, sum);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(products + i), add_lanes(sum));
  }
  for (; i < n_ids; ++i) {
    row_products<1>(row, codes, n, ids + i, sum);
    products[i] = _mm_cvtsi128_si32(add_lanes(sum));
  }
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
