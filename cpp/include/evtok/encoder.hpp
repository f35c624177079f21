// A transformer encoder on ragged sequences: torch.nn.TransformerEncoder, layer by layer, without padding.
//
// Contract, in float32, for the rows x (d,) of a sequence of n rows:
//   dense     y[o] = bias[o] or 0; for j in 0..K-1: y[o] = fma(x[j], weight[o][j], y[o])
//   residual  x[c] = x[c] + y[c]
//   norm      sum: s[0..15] = 0; s[c mod 16] = s[c mod 16] + x[c]; for width in 8, 4, 2, 1: s[i] = s[i] +
//             s[i + width] for i < width; m = s[0] / d. The same with fma(x[c] - m, x[c] - m, s[c mod 16])
//             gives v = s[0] / d. y[c] = fma((x[c] - m) * (1 / sqrt(v + eps)), gain[c], bias[c])
//   attention of a head with w columns, from dense rows q, k, v of the sequence, for each row i:
//             a[j] = 0; for c in 0..w-1: a[j] = fma(q[i][c], k[j][c], a[j])         for every row j
//             e[j] = exp(a[j] * scale - max_j(a[j]) * scale), scale = 1 / sqrt(w) rounded from float64
//             s[j mod 16] = s[j mod 16] + e[j], folded as above
//             y[c] = 0; for j: y[c] = fma(e[j], v[j][c], y[c]); y[c] = y[c] / s[0]
//   layer     norm_first: x = x + out(attention(norm1(x))); x = x + linear2(f(linear1(norm2(x))))
//             else        x = norm1(x + out(attention(x)));  x = norm2(x + linear2(f(linear1(x))))
//   end       norm(x), where there is one
// with f = max(0, x) or a GELU of encoder_kernels.hpp, and exp of float_functions.hpp. With bfloat16,
// weights of dense layers and the x that go into one are rounded to bfloat16 first, to nearest even, and are
// +0 where that is below 2^-55 in magnitude, as biases are below 2^-100; the sums stay float32. (So each
// product and sum is a multiple of 2^-124, and no step is subnormal: instructions for bfloat16 know no such
// numbers.) Nothing hangs on other sequences, so the bits of a sequence are the same for any batch, number of
// threads and instruction set.
//
// A sequence is refused, and all its rows are NaN, that holds NaN or infinity, or a number so large that some
// step might overflow: the limit follows from the weights when the encoder is made.
//
// How it runs: a tile of whole sequences, some 96 rows, goes through all layers while it lies in the cache
// (encoder_tile.hpp); weights lie in panels of 16 columns, so that they are read in order.
#pragma once

#include <cstdint>
#include <vector>

#include "evtok/code_panels.hpp"
#include "evtok/encoder_kernels.hpp"

namespace evtok {

/// Weights of a dense layer as torch.nn.Linear has them, borrowed.
struct LinearArrays {
  const float* weight;  // (n_out, n_in) row-major
  const float* bias;    // (n_out,) or null
};

/// Weights of a layer, borrowed.
struct EncoderLayerArrays {
  LinearArrays attention_in;   // (3 width, width): query, key, value
  LinearArrays attention_out;  // (width, width)
  LinearArrays linear1;        // (feed_forward, width)
  LinearArrays linear2;        // (width, feed_forward)
  LinearArrays norm1, norm2;   // gain and bias, (width,)
  int64_t feed_forward;
};

struct EncoderShape {
  int64_t width, heads;
  EncoderActivation activation;
  bool norm_first;
  float eps;
  bool bfloat16;
};

/// A dense layer in panels of kEncoderLanes outputs.
struct DensePanels {
  AlignedVector<float> weight;  // (n_panels, n_in, kEncoderLanes), 0 where there is no output
  AlignedVector<float> pairs;   // with bfloat16: its pairs (n_panels, half of n_in, kEncoderLanes); else none
  AlignedVector<float> bias;    // (n_panels * kEncoderLanes,)
  int64_t n_in = 0, n_out = 0, n_panels = 0;
};

struct NormGains {
  AlignedVector<float> gain, bias;  // (width,), and zeros to whole panels
};

struct EncoderLayer {
  DensePanels attention_in;  // query, key and value, each from a whole panel on
  DensePanels attention_out, linear1, linear2;
  NormGains norm1, norm2;
};

/// The largest magnitudes among the weights of a dense layer or the gains of a norm.
struct Magnitudes {
  double weight = 0, bias = 0;
};

struct LayerMagnitudes {
  Magnitudes attention_in, attention_out, linear1, linear2, norm1, norm2;
  double feed_forward = 0;
};

/// Ragged rows, borrowed.
struct RaggedRows {
  const float* x;          // (offsets[n_sequences], width) row-major
  const int64_t* offsets;  // (n_sequences + 1,), from 0, not decreasing
  int64_t n_sequences;
};

/// The sequences that were refused.
struct RefusedSequences {
  int64_t count = 0;
  int64_t first_row = -1;  // the first row at fault
  bool finite = false;     // whether its numbers are: then it is too large
};

/// Throws std::invalid_argument unless offsets (n + 1,) go from 0 to `total` and never down.
void require_offsets(const int64_t* offsets, int64_t n, int64_t total);

/// Prepared weights: immutable, so any number of threads may use them.
class Encoder {
public:
  /// Copies the layers, one or more, and norm (gain and bias, or null). Throws std::invalid_argument for
  /// weights that hold NaN or infinity, or are so large that any row might overflow.
  Encoder(const std::vector<EncoderLayerArrays>& layers, const LinearArrays& norm, const EncoderShape& shape,
          int threads);

  const EncoderShape& shape() const { return shape_; }
  const std::vector<EncoderLayer>& layers() const { return layers_; }
  const NormGains* norm() const { return has_norm_ ? &norm_ : nullptr; }
  /// Magnitude from which on a number of a row is refused.
  float limit() const { return limit_; }
  /// A magnitude that no number of the result exceeds where those of the rows are within `x`.
  double result_limit(double x) const;
  /// Multiply-adds of the dense layers for a row.
  int64_t row_work() const { return row_work_; }
  /// Rows of a tile.
  int64_t tile_rows() const { return tile_rows_; }
  /// Rows that may be a tile where they are all that is left: better that than a tile of very few.
  int64_t last_tile_rows() const { return tile_rows_ + tile_rows_ / 3; }
  /// Rows whose work takes longer than it takes to wake a thread for them.
  int64_t worthwhile_rows() const { return kWakingWork / row_work_ + 1; }

  /// Writes out (n_rows, width), owned by the caller.
  RefusedSequences forward(const RaggedRows& rows, int threads, float* out) const;

private:
  static constexpr int64_t kWakingWork = int64_t{1} << 21;  // multiply-adds: some 40 us with AVX2

  EncoderShape shape_;
  std::vector<EncoderLayer> layers_;
  std::vector<LayerMagnitudes> sizes_;
  Magnitudes end_;  // of the last norm
  NormGains norm_;
  bool has_norm_ = false;
  float limit_ = 0;
  int64_t row_work_ = 0, tile_rows_ = 0;
};

}  // namespace evtok
