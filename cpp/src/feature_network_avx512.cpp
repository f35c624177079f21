// Dense layers with AVX-512: 16 rows a vector, four outputs of 64 rows in registers at a time.
#include <immintrin.h>

#include "evtok/feature_network.hpp"

namespace evtok {
namespace {

#define EVTOK_INSIDE inline __attribute__((always_inline))

constexpr int kVectors = 4;
static_assert(kNetworkRows == 16 * kVectors);

EVTOK_INSIDE void finish(const DenseLayer& layer, __m512 s, float* out, float* not_finite) {
  _mm512_storeu_ps(not_finite, _mm512_add_ps(_mm512_loadu_ps(not_finite), _mm512_sub_ps(s, s)));
  if (layer.activation != Activation::identity) {
    const __mmask16 negative = _mm512_cmp_ps_mask(s, _mm512_setzero_ps(), _CMP_LT_OQ);
    const __m512 below = layer.activation == Activation::relu ? _mm512_setzero_ps()
                                                              : _mm512_mul_ps(s, _mm512_set1_ps(layer.slope));
    s = _mm512_mask_blend_ps(negative, s, below);
  }
  _mm512_storeu_ps(out, s);
}

// Outputs o .. o + kOutputs - 1 of a tile.
template <int kOutputs>
EVTOK_INSIDE void outputs(const DenseLayer& layer, int64_t o, const float* x, float* out, float* not_finite) {
  __m512 s[kOutputs][kVectors];
  for (int k = 0; k < kOutputs; ++k)
    for (int v = 0; v < kVectors; ++v) s[k][v] = _mm512_set1_ps(layer.bias[o + k]);
  const float* weight = layer.weight + o * layer.n_in;
  for (int64_t j = 0; j < layer.n_in; ++j) {
    __m512 value[kVectors];
    for (int v = 0; v < kVectors; ++v) value[v] = _mm512_loadu_ps(x + j * kNetworkRows + 16 * v);
    for (int k = 0; k < kOutputs; ++k) {
      const __m512 w = _mm512_set1_ps(weight[k * layer.n_in + j]);
      for (int v = 0; v < kVectors; ++v) s[k][v] = _mm512_fmadd_ps(w, value[v], s[k][v]);
    }
  }
  for (int k = 0; k < kOutputs; ++k)
    for (int v = 0; v < kVectors; ++v)
      finish(layer, s[k][v], out + (o + k) * kNetworkRows + 16 * v, not_finite + 16 * v);
}

}  // namespace

void run_layer_avx512(const DenseLayer& layer, const float* x, float* out, float* not_finite) {
  int64_t o = 0;
  for (; o + 4 <= layer.n_out; o += 4) outputs<4>(layer, o, x, out, not_finite);
  for (; o < layer.n_out; ++o) outputs<1>(layer, o, x, out, not_finite);
}

}  // namespace evtok
