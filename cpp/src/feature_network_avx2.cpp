// Dense layers with AVX2: 8 rows a vector, two outputs of 32 rows in registers at a time.
#include <immintrin.h>

#include "evtok/feature_network.hpp"

namespace evtok {
namespace {

#define EVTOK_INSIDE inline __attribute__((always_inline))

constexpr int kVectors = 4;
constexpr int64_t kRows = 8 * kVectors;

EVTOK_INSIDE void finish(const DenseLayer& layer, __m256 s, float* out, float* not_finite) {
  _mm256_storeu_ps(not_finite, _mm256_add_ps(_mm256_loadu_ps(not_finite), _mm256_sub_ps(s, s)));
  if (layer.activation != Activation::identity) {
    const __m256 negative = _mm256_cmp_ps(s, _mm256_setzero_ps(), _CMP_LT_OQ);
    const __m256 below = layer.activation == Activation::relu ? _mm256_setzero_ps()
                                                              : _mm256_mul_ps(s, _mm256_set1_ps(layer.slope));
    s = _mm256_blendv_ps(s, below, negative);
  }
  _mm256_storeu_ps(out, s);
}

// Outputs o .. o + kOutputs - 1 of kRows rows.
template <int kOutputs>
EVTOK_INSIDE void outputs(const DenseLayer& layer, int64_t o, const float* x, float* out, float* not_finite) {
  __m256 s[kOutputs][kVectors];
  for (int k = 0; k < kOutputs; ++k)
    for (int v = 0; v < kVectors; ++v) s[k][v] = _mm256_broadcast_ss(layer.bias + o + k);
  const float* weight = layer.weight + o * layer.n_in;
  for (int64_t j = 0; j < layer.n_in; ++j) {
    __m256 value[kVectors];
    for (int v = 0; v < kVectors; ++v) value[v] = _mm256_loadu_ps(x + j * kNetworkRows + 8 * v);
    for (int k = 0; k < kOutputs; ++k) {
      const __m256 w = _mm256_broadcast_ss(weight + k * layer.n_in + j);
      for (int v = 0; v < kVectors; ++v) s[k][v] = _mm256_fmadd_ps(w, value[v], s[k][v]);
    }
  }
  for (int k = 0; k < kOutputs; ++k)
    for (int v = 0; v < kVectors; ++v)
      finish(layer, s[k][v], out + (o + k) * kNetworkRows + 8 * v, not_finite + 8 * v);
}

}  // namespace

void run_layer_avx2(const DenseLayer& layer, const float* x, float* out, float* not_finite) {
  for (int64_t r = 0; r < kNetworkRows; r += kRows) {
    int64_t o = 0;
    for (; o + 2 <= layer.n_out; o += 2) outputs<2>(layer, o, x + r, out + r, not_finite + r);
    for (; o < layer.n_out; ++o) outputs<1>(layer, o, x + r, out + r, not_finite + r);
  }
}

}  // namespace evtok
