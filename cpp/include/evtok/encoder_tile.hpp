// A thread's tile of whole sequences, and the steps of a layer on it (encoder.hpp is the contract).
#pragma once

#include <cstdint>

#include "evtok/encoder.hpp"
#include "evtok/isa.hpp"

namespace evtok {

/// Makes room for `size` zeros, unless there is room already; asks for Ctrl-C as it goes (check_stop).
void grow(AlignedVector<float>& memory, int64_t size);

/// Where the queries of attention come from: all rows of a sequence, or those that are asked for.
struct Queries {
  const float* values;  // (starts[n_sequences], width), rows `step` floats apart
  int64_t step;
  const int64_t* starts;  // (n_sequences + 1,)
};

/// Which columns of a layer's query, key and value rows are made.
enum class Projected { all, queries, keys_values };

/// Floats of memory that a thread keeps from call to call.
inline constexpr size_t kKeptFloats = size_t{4} << 20;

/// Memory and steps, one for each call (ThreadLease). A step asks for Ctrl-C as it goes (check_stop), so it
/// may throw Cancelled. Rows of `width` numbers are step() floats apart; "wide" rows, of query, key and
/// value, wide_step().
class EncoderTile {
public:
  /// Readies the tile for an encoder, which must live as long as it is used.
  void use(const Encoder& encoder, Isa isa);
  /// Gives all memory back if a long sequence has taken much.
  void shrink();
  /// Makes room for n rows in each of the arrays below.
  void reserve(int64_t n_rows);
  AlignedVector<float> x, normed, wide, attended;

  int64_t step() const { return step_; }
  int64_t wide_step() const { return wide_step_; }

  /// The rows that go into a layer's attention: rows themselves, or their norm, which is written to `to`.
  const float* attention_input(const EncoderLayer& layer, const float* rows, int64_t n_rows, float* to);
  /// Writes their query, key and value rows, or part of them: wide rows, but queries alone may go anywhere.
  void project(const EncoderLayer& layer, const float* input, int64_t n_rows, Projected part, float* out,
               int64_t out_step);
  /// Writes the attention out (queries, step) to the keys and values of wide rows; sequences from starts
  /// (n + 1,).
  void attend(const Queries& queries, const float* rows, const int64_t* starts, int64_t n_sequences,
              float* out);
  /// What follows attention: rows become the layer's result; from_attention is spent.
  void finish(const EncoderLayer& layer, float* rows, float* from_attention, int64_t n_rows);
  /// All of a layer on x, with sequences from starts (n + 1,).
  void run_layer(const EncoderLayer& layer, const int64_t* starts, int64_t n_sequences);
  /// The encoder's last norm, in place.
  void end_norm(float* rows, int64_t n_rows);

private:
  struct Out {
    float* values;
    int64_t step;
  };
  /// Panels of outputs, and inputs, of a dense layer.
  struct DensePart {
    int64_t first_panel, n_panels, first_in, n_in;
  };
  void dense(const DensePanels& layer, const DensePart& part, const float* input, int64_t input_step,
             int64_t n_rows, const float* sums, const float* added, Out out, EncoderActivation activation);
  void multiply(MatrixProduct product, int64_t terms = 1);
  /// Terms of a sum that a step of a dense layer's product takes: two where bfloat16 come in pairs.
  int64_t terms() const;
  /// Rounds rows to bfloat16 for a dense layer, in pairs where its product takes these; `to` may be `rows`.
  void round(const float* rows, int64_t step, int64_t n_rows, int64_t n_columns, float* to);
  /// What goes into a dense layer for rows of `width` numbers: themselves, or rounded.
  const float* dense_input(const float* rows, int64_t n_rows);
  void norm(const NormGains& gains, const float* rows, int64_t n_rows, float* out);
  void worked(int64_t multiply_adds);

  const Encoder* encoder_ = nullptr;
  EncoderKernels kernels_{};
  int64_t panel_columns_ = 0, step_ = 0, wide_step_ = 0, work_ = 0, check_work_ = 0;
  float scale_ = 0;
  AlignedVector<float> keys_, scores_, sums_, partial_, hidden_, fed_, rounded_;
};

/// To bfloat16, to nearest even, and +0 below 2^-55 in magnitude; x is finite.
float to_bfloat16(float x);

}  // namespace evtok
