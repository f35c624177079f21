// A feed-forward network of dense layers, from rows of float32 to rows of float32.
//
// Contract. Layer by layer, for output o of a row: s = bias[o]; for j in 0..n_in-1: s = fma(weight[o][j],
// x[j], s); out[o] = activation(s), all in float32. Activations: identity s; relu s < 0 ? 0 : s; leaky relu s
// < 0 ? s * slope : s. A row of which some s is not finite is invalid, and all of its outputs are NaN. Vector
// lanes run across rows, so the bits of a row depend neither on the other rows nor on the instruction set.
#pragma once

#include <cstdint>

namespace evtok {

inline constexpr int64_t kNetworkRows = 64;  // rows of a tile

enum class Activation : int32_t { identity = 0, relu = 1, leaky_relu = 2 };
inline constexpr int32_t kActivations = 3;

/// A plain struct, so that files compiled for one instruction set can use it.
struct DenseLayer {
  const float* weight;  // (n_out, n_in) row-major, borrowed
  const float* bias;    // (n_out,) borrowed
  int64_t n_in, n_out;
  Activation activation;
  float slope;  // of leaky relu
};

/// One layer on a tile: x (n_in, kNetworkRows) and out (n_out, kNetworkRows) row-major, so that lanes are
/// rows. not_finite (kNetworkRows,) stays 0 while every s of its row is finite, and becomes NaN.
using RunLayer = void (*)(const DenseLayer& layer, const float* x, float* out, float* not_finite);

void run_layer_scalar(const DenseLayer& layer, const float* x, float* out, float* not_finite);
void run_layer_avx2(const DenseLayer& layer, const float* x, float* out, float* not_finite);
void run_layer_avx512(const DenseLayer& layer, const float* x, float* out, float* not_finite);

/// All layers on x (n, layers[0].n_in) to out (n, last n_out), row-major. layers (n_layers,), at least one,
/// each taking what the one before gives; borrowed.
void run_network(const DenseLayer* layers, int64_t n_layers, const float* x, int64_t n, int threads,
                 float* out);

}  // namespace evtok
