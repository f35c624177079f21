#include "evtok/feature_network.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "evtok/isa.hpp"
#include "evtok/parallel.hpp"

namespace evtok {
namespace {

constexpr int64_t kTileGrain = 16;  // tiles handed to a thread at a time

RunLayer layer_kernel() {
#ifdef EVTOK_X86
  const Isa isa = active_isa();  // of this thread; those of the pool are not forced
  if (isa >= Isa::avx512) return run_layer_avx512;
  if (isa >= Isa::avx2) return run_layer_avx2;
#endif
  return run_layer_scalar;
}

// Rows (n, width) to lanes (width, kNetworkRows); the lanes after n are 0.
void to_lanes(const float* rows, int64_t n, int64_t width, float* lanes) {
  for (int64_t j = 0; j < width; ++j) {
    for (int64_t r = 0; r < n; ++r) lanes[j * kNetworkRows + r] = rows[r * width + j];
    std::fill(lanes + j * kNetworkRows + n, lanes + (j + 1) * kNetworkRows, 0.0F);
  }
}

}  // namespace

void run_layer_scalar(const DenseLayer& layer, const float* x, float* out, float* not_finite) {
  for (int64_t o = 0; o < layer.n_out; ++o) {
    const float* weight = layer.weight + o * layer.n_in;
    for (int64_t r = 0; r < kNetworkRows; ++r) {
      float s = layer.bias[o];
      for (int64_t j = 0; j < layer.n_in; ++j) s = std::fma(weight[j], x[j * kNetworkRows + r], s);
      not_finite[r] += s - s;
      const bool changes = s < 0 && layer.activation != Activation::identity;
      const float below = layer.activation == Activation::relu ? 0.0F : s * layer.slope;
      out[o * kNetworkRows + r] = changes ? below : s;
    }
  }
}

void run_network(const DenseLayer* layers, int64_t n_layers, const float* x, int64_t n, int threads,
                 float* out) {
  const RunLayer run = layer_kernel();
  int64_t widest = layers[0].n_in;
  for (int64_t k = 0; k < n_layers; ++k) widest = std::max(widest, layers[k].n_out);
  const int64_t n_in = layers[0].n_in, n_out = layers[n_layers - 1].n_out;
  const int64_t tiles = (n + kNetworkRows - 1) / kNetworkRows;
  parallel_for(tiles, kTileGrain, threads, [&](int64_t first, int64_t last) {
    std::vector<float> given(static_cast<size_t>(widest * kNetworkRows)), made(given.size());
    for (int64_t tile = first; tile < last; ++tile) {
      const int64_t begin = tile * kNetworkRows, rows = std::min(kNetworkRows, n - begin);
      float not_finite[kNetworkRows] = {};
      to_lanes(x + begin * n_in, rows, n_in, given.data());
      for (int64_t k = 0; k < n_layers; ++k) {
        run(layers[k], given.data(), made.data(), not_finite);
        given.swap(made);
      }
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t o = 0; o < n_out; ++o)
          out[(begin + r) * n_out + o] = not_finite[r] == 0 ? given[static_cast<size_t>(o * kNetworkRows + r)]
                                                            : std::numeric_limits<float>::quiet_NaN();
    }
  });
}

}  // namespace evtok
