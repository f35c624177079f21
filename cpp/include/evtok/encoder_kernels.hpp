// The steps of encoder.hpp on rows that lie in the cache: products of matrices, activations, layer norm and
// the softmax of attention.
//
// Templates over the lanes of an instruction set (float_lanes_*.hpp, FloatLane); each instruction set's file
// instantiates them with lanes of its own. No STL here, because those files include it. Lanes run across the
// columns of a result, never along a sum, but for the sums over a row, whose 16 lanes are in the contract.
#pragma once

#include <cstdint>

#include "evtok/float_functions.hpp"
#include "evtok/numerics.hpp"

namespace evtok {

inline constexpr int kEncoderLanes = 16;     // columns of a panel of weights, and sums of a row
inline constexpr int64_t kInnerBlock = 256;  // terms of a sum that are added before the next panel's turn

enum class EncoderActivation : int32_t { none = 0, relu = 1, gelu = 2, gelu_tanh = 3 };

/// out[r][c] = start[r][c]; for j: out[r][c] = fma(x[r][j], w[j][c], out[r][c]); then + added[r][c].
/// Columns come in panels of kEncoderLanes; steps are in floats.
struct MatrixProduct {
  const float* x;  // (n_rows, n_inner), rows x_step apart
  int64_t x_step;
  const float* weight;  // of panel p and term j at p * panel_step + j * inner_step, kEncoderLanes floats
  int64_t panel_step, inner_step;
  const float* start;  // of row r at r * start_step; null: zeros
  int64_t start_step;  // 0: the same for every row, a bias
  const float* added;  // of row r at r * added_step; null: nothing
  int64_t added_step;
  float* out;  // of row r at r * out_step; may be `start` or `added`
  int64_t out_step;
  int64_t n_rows, n_inner, n_panels;
  const float* next;  // of the panel that the call after this one begins with; or null
};

/// Rows whose layer norm is made.
struct NormProduct {
  const float* x;  // (n_rows, n_columns), rows x_step apart
  int64_t x_step;
  const float *gain, *bias;  // (n_columns,), and zeros up to whole panels
  float eps;
  float* out;  // may be x; whole panels are written
  int64_t out_step;
  int64_t n_rows, n_columns;
};

/// What an instruction set brings.
struct EncoderKernels {
  void (*multiply)(const MatrixProduct& product);
  /// rows (n_rows, n_columns) in place; n_columns is a multiple of kEncoderLanes.
  void (*activate)(EncoderActivation activation, float* rows, int64_t step, int64_t n_rows,
                   int64_t n_columns);
  void (*normalise)(const NormProduct& product);
  /// Scores (n_rows, n_keys) become exp((score - the row's largest) * scale), both products rounded; sums
  /// (n_rows,) of them. Up to the next whole panel anything may be written.
  void (*weigh)(float* scores, int64_t step, int64_t n_rows, int64_t n_keys, float scale, float* sums);
  /// out (n_columns, whole panels of rows) = rows (n_rows, n_columns) transposed, 0 where there is no row.
  void (*transpose)(const float* rows, int64_t step, int64_t n_rows, int64_t n_columns, float* out);
  /// rows (n_rows, whole panels of n_columns) /= sums (n_rows,).
  void (*divide)(float* rows, int64_t step, int64_t n_rows, int64_t n_columns, const float* sums);
  /// The product of pairs of bfloat16: x and the weights hold a pair in each float, and n_inner counts pairs.
  /// Null where there is no instruction for it. A pair has term 2 i in its upper 16 bits, and term 2 i + 1,
  /// or 0 after the last, in its lower ones: the order in which VDPBF16PS adds them.
  void (*multiply_pairs)(const MatrixProduct& product) = nullptr;
  /// to (n_rows, half of n_columns) = the pairs of rows (n_rows, n_columns), both `step` floats apart; `to`
  /// may be `rows`. 32 columns are read and 16 pairs written at a time: as far as a panel after the last.
  void (*pair)(const float* rows, int64_t step, int64_t n_rows, int64_t n_columns, float* to) = nullptr;
};

EVTOK_FORMULA int64_t whole_panels(int64_t columns) {
  return (columns + kEncoderLanes - 1) / kEncoderLanes * kEncoderLanes;
}

// ---- products

/// kRows rows from `row` on against kPanels panels; the accumulators stay in registers.
/// Meanwhile the weights from `next` on come closer.
template <class Lanes, int kRows, int kPanels>
EVTOK_FORMULA void product_tile(const MatrixProduct& m, int64_t row, int64_t panel, const float* next) {
  using Vector = typename Lanes::Vector;
  constexpr int kWidth = Lanes::width, kEach = kEncoderLanes / kWidth, kVectors = kPanels * kEach;
  const int64_t column = panel * kEncoderLanes;
  Vector s[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v)
      s[r][v] = m.start == nullptr ? Lanes::zero()
                                   : Lanes::load(m.start + (row + r) * m.start_step + column + v * kWidth);
  const float* x[kRows];
  for (int r = 0; r < kRows; ++r) x[r] = m.x + (row + r) * m.x_step;
  const float* weight = m.weight + panel * m.panel_step;
#pragma GCC unroll 4
  for (int64_t j = 0; j < m.n_inner; ++j) {
    Vector w[kVectors];
    for (int v = 0; v < kVectors; ++v)
      w[v] = Lanes::load(weight + v / kEach * m.panel_step + v % kEach * kWidth);
    for (int p = 0; p < kPanels; ++p) __builtin_prefetch(next + p * m.panel_step, 0, 2);
    weight += m.inner_step;
    next += m.inner_step;
    for (int r = 0; r < kRows; ++r) {
      const Vector of_row = Lanes::all(x[r][j]);
      for (int v = 0; v < kVectors; ++v) s[r][v] = Lanes::fma(of_row, w[v], s[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    if (m.added != nullptr)
      for (int v = 0; v < kVectors; ++v)
        s[r][v] = Lanes::add(Lanes::load(m.added + (row + r) * m.added_step + column + v * kWidth), s[r][v]);
    for (int v = 0; v < kVectors; ++v)
      Lanes::store(m.out + (row + r) * m.out_step + column + v * kWidth, s[r][v]);
  }
}

/// The tile of n_rows <= kRows rows.
template <class Lanes, int kRows, int kPanels>
EVTOK_FORMULA void product_rows(const MatrixProduct& m, int64_t row, int64_t n_rows, int64_t panel,
                                const float* next) {
  if constexpr (kRows > 1) {
    if (n_rows < kRows) {
      product_rows<Lanes, kRows - 1, kPanels>(m, row, n_rows, panel, next);
      return;
    }
  }
  product_tile<Lanes, kRows, kPanels>(m, row, panel, next);
}

/// All rows against kPanels panels. Rows are shared out evenly, so that no group is left with very few.
template <class Lanes, int kRows, int kPanels>
EVTOK_FORMULA void product_panels(const MatrixProduct& m, int64_t panel) {
  const int64_t n_groups = (m.n_rows + kRows - 1) / kRows;
  const float* weight = m.weight + panel * m.panel_step;
  // The last group fetches what comes after this panel.
  const float* after = panel + kPanels < m.n_panels ? weight + kPanels * m.panel_step : m.next;
  if (after == nullptr) after = weight;
  int64_t row = 0;
  for (int64_t group = 0; group < n_groups; ++group) {
    const int64_t n_rows = (m.n_rows - row) / (n_groups - group);
    product_rows<Lanes, kRows, kPanels>(m, row, n_rows, panel, group + 1 < n_groups ? weight : after);
    row += n_rows;
  }
}

template <class Lanes, int kRows, int kPanels> void multiply_matrices(const MatrixProduct& m) {
  int64_t panel = 0;
  for (; panel + kPanels <= m.n_panels; panel += kPanels) product_panels<Lanes, kRows, kPanels>(m, panel);
  if constexpr (kPanels > 1)
    for (; panel < m.n_panels; ++panel) product_panels<Lanes, kRows, 1>(m, panel);
}

// ---- activations

/// x Phi(x), with the distribution function Phi of the normal distribution: Phi - 1/2 = x p(x^2) / q(x^2)
/// within 2e-7, held between -5.6 and 5.6, where it is exactly 1/2.
template <class Lanes> EVTOK_FORMULA typename Lanes::Vector gelu(typename Lanes::Vector x) {
  using Vector = typename Lanes::Vector;
  const Vector held = Lanes::max(Lanes::all(-5.6F), Lanes::min(Lanes::all(5.6F), x));
  const Vector t = Lanes::mul(held, held);
  Vector p = Lanes::all(0x1.7c73f2p-26F), q = Lanes::all(0x1.3ccf7ep-20F);
  p = Lanes::fma(p, t, Lanes::all(0x1.aa9476p-18F));
  q = Lanes::fma(q, t, Lanes::all(0x1.3b0048p-14F));
  p = Lanes::fma(p, t, Lanes::all(0x1.6c97b6p-13F));
  q = Lanes::fma(q, t, Lanes::all(0x1.f57a02p-10F));
  p = Lanes::fma(p, t, Lanes::all(0x1.347ec4p-8F));
  q = Lanes::fma(q, t, Lanes::all(0x1.da27a8p-6F));
  p = Lanes::fma(p, t, Lanes::all(0x1.199c0ap-5F));
  q = Lanes::fma(q, t, Lanes::all(0x1.02e6e8p-2F));
  p = Lanes::fma(p, t, Lanes::all(0x1.988450p-2F));
  q = Lanes::fma(q, t, Lanes::all(1.0F));
  const Vector above = Lanes::div(Lanes::mul(held, p), q);
  const Vector phi =
      Lanes::add(Lanes::all(0.5F), Lanes::max(Lanes::all(-0.5F), Lanes::min(Lanes::all(0.5F), above)));
  return Lanes::mul(x, phi);
}

/// x / (1 + exp(-2 u)) with u = sqrt(2 / pi) (x + 0.044715 x^3): the approximation of GELU by tanh.
template <class Lanes> EVTOK_FORMULA typename Lanes::Vector gelu_tanh(typename Lanes::Vector x) {
  using Vector = typename Lanes::Vector;
  const Vector cubic = Lanes::all(-0x1.2444f2p-4F), linear = Lanes::all(-0x1.988454p+0F);
  const Vector u = Lanes::mul(x, Lanes::fma(Lanes::mul(x, x), cubic, linear));
  return Lanes::div(x, Lanes::add(Lanes::all(1.0F), exponential<Lanes>(u)));
}

template <class Lanes>
void activate_rows(EncoderActivation activation, float* rows, int64_t step, int64_t n_rows,
                   int64_t n_columns) {
  constexpr int kWidth = Lanes::width;
  const auto each = [&](const auto& formula) __attribute__((always_inline)) {
    for (int64_t r = 0; r < n_rows; ++r) {
      float* row = rows + r * step;
      for (int64_t c = 0; c < n_columns; c += kEncoderLanes)
        for (int v = 0; v < kEncoderLanes; v += kWidth)
          Lanes::store(row + c + v, formula(Lanes::load(row + c + v)));
    }
  };
  using Vector = typename Lanes::Vector;
  if (activation == EncoderActivation::relu)
    each([](Vector x) __attribute__((always_inline)) { return Lanes::max(Lanes::zero(), x); });
  if (activation == EncoderActivation::gelu)
    each([](Vector x) __attribute__((always_inline)) { return gelu<Lanes>(x); });
  if (activation == EncoderActivation::gelu_tanh)
    each([](Vector x) __attribute__((always_inline)) { return gelu_tanh<Lanes>(x); });
}

// ---- sums over a row

/// The sum of 16 lanes: for width in 8, 4, 2, 1, lane i + lane i + width.
template <class Lanes>
EVTOK_FORMULA float folded(const typename Lanes::Vector (&lanes)[kEncoderLanes / Lanes::width]) {
  if constexpr (requires { Lanes::folded(lanes); }) return Lanes::folded(lanes);
  float sums[kEncoderLanes];
  for (int v = 0; v < kEncoderLanes / Lanes::width; ++v) Lanes::store(sums + v * Lanes::width, lanes[v]);
  for (int width = kEncoderLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) sums[i] += sums[i + width];
  return sums[0];
}

/// The lanes of row (n_columns,), from column c on; zeros after the last column.
EVTOK_FORMULA void rest_of_row(const float* row, int64_t c, int64_t n_columns, float (&rest)[kEncoderLanes],
                               float otherwise) {
  for (int64_t i = 0; i < kEncoderLanes; ++i) rest[i] = c + i < n_columns ? row[c + i] : otherwise;
}

template <class Lanes> void normalise_rows(const NormProduct& m) {
  using Vector = typename Lanes::Vector;
  constexpr int kWidth = Lanes::width, kVectors = kEncoderLanes / kWidth;
  const int64_t whole = m.n_columns / kEncoderLanes * kEncoderLanes;
  const auto count = static_cast<float>(m.n_columns);
  float rest[kEncoderLanes];
  for (int64_t r = 0; r < m.n_rows; ++r) {
    const float* x = m.x + r * m.x_step;
    float* out = m.out + r * m.out_step;
    Vector sums[kVectors];
    for (Vector& sum : sums) sum = Lanes::zero();
    for (int64_t c = 0; c < whole; c += kEncoderLanes)
      for (int v = 0; v < kVectors; ++v) sums[v] = Lanes::add(sums[v], Lanes::load(x + c + v * kWidth));
    if (whole < m.n_columns) {
      rest_of_row(x, whole, m.n_columns, rest, 0.0F);
      for (int v = 0; v < kVectors; ++v) sums[v] = Lanes::add(sums[v], Lanes::load(rest + v * kWidth));
    }
    const float mean = folded<Lanes>(sums) / count;
    const Vector means = Lanes::all(mean);
    for (Vector& sum : sums) sum = Lanes::zero();
    for (int64_t c = 0; c < whole; c += kEncoderLanes)
      for (int v = 0; v < kVectors; ++v) {
        const Vector t = Lanes::sub(Lanes::load(x + c + v * kWidth), means);
        sums[v] = Lanes::fma(t, t, sums[v]);
      }
    if (whole < m.n_columns) {
      rest_of_row(x, whole, m.n_columns, rest, mean);
      for (int v = 0; v < kVectors; ++v) {
        const Vector t = Lanes::sub(Lanes::load(rest + v * kWidth), means);
        sums[v] = Lanes::fma(t, t, sums[v]);
      }
    }
    const Vector scale = Lanes::all(1.0F / __builtin_sqrtf(folded<Lanes>(sums) / count + m.eps));
    for (int64_t c = 0; c < m.n_columns; c += kWidth) {
      const Vector t = Lanes::mul(Lanes::sub(Lanes::load(x + c), means), scale);
      Lanes::store(out + c, Lanes::fma(t, Lanes::load(m.gain + c), Lanes::load(m.bias + c)));
    }
  }
}

template <class Lanes>
void weigh_scores(float* scores, int64_t step, int64_t n_rows, int64_t n_keys, float scale, float* sums) {
  using Vector = typename Lanes::Vector;
  constexpr int kWidth = Lanes::width, kVectors = kEncoderLanes / kWidth;
  const int64_t last = (n_keys - 1) / kWidth * kWidth;  // the first column of the last vector
  // Of the last vector: -infinity is added where there is no key, and then exp is multiplied by 0. So that
  // exp need not underflow there, which takes some processors long, it has not seen the -infinity.
  float missing[kWidth], there[kWidth];
  for (int i = 0; i < kWidth; ++i) {
    there[i] = last + i < n_keys ? 1.0F : 0.0F;
    missing[i] = last + i < n_keys ? 0.0F : -__builtin_inff();
  }
  const Vector no_key = Lanes::load(missing), key = Lanes::load(there);
  const Vector scales = Lanes::all(scale), zero = Lanes::zero();
  for (int64_t r = 0; r < n_rows; ++r) {
    float* row = scores + r * step;
    // The largest by way of the lowest, which the lanes know how to find among themselves.
    Vector least[1] = {Lanes::sub(zero, Lanes::add(Lanes::load(row + last), no_key))};
    for (int64_t k = 0; k < last; k += kWidth)
      least[0] = Lanes::min(least[0], Lanes::sub(zero, Lanes::load(row + k)));
    const Vector highest = Lanes::all(-Lanes::lowest(least) * scale);
    const auto weighed = [&](const float* place) __attribute__((always_inline)) {
      return exponential<Lanes>(
          Lanes::min(zero, Lanes::sub(Lanes::mul(Lanes::load(place), scales), highest)));
    };
    Vector total[kVectors];
    for (Vector& sum : total) sum = zero;
    int64_t first = 0;
    for (; first + kEncoderLanes <= last; first += kEncoderLanes)
      for (int v = 0; v < kVectors; ++v) {
        float* place = row + first + v * kWidth;
        const Vector e = weighed(place);
        Lanes::store(place, e);
        total[v] = Lanes::add(total[v], e);
      }
    for (int v = 0; v < kVectors && first + v * kWidth <= last; ++v) {
      float* place = row + first + v * kWidth;
      Vector e = weighed(place);
      if (first + v * kWidth == last) e = Lanes::mul(e, key);
      Lanes::store(place, e);
      total[v] = Lanes::add(total[v], e);
    }
    sums[r] = folded<Lanes>(total);
  }
}

// ---- moves

template <class Lanes>
void transpose_rows(const float* rows, int64_t step, int64_t n_rows, int64_t n_columns, float* out) {
  const int64_t out_step = whole_panels(n_rows);
  int64_t c = 0;
  if constexpr (requires { Lanes::transpose_block(rows, step, n_rows, out, out_step); })
    for (; c + 8 <= n_columns; c += 8)
      for (int64_t r = 0; r < out_step; r += 8)
        Lanes::transpose_block(rows + r * step + c, step, n_rows - r, out + c * out_step + r, out_step);
  for (; c < n_columns; ++c) {
    for (int64_t r = 0; r < n_rows; ++r) out[c * out_step + r] = rows[r * step + c];
    for (int64_t r = n_rows; r < out_step; ++r) out[c * out_step + r] = 0.0F;
  }
}

template <class Lanes>
void divide_rows(float* rows, int64_t step, int64_t n_rows, int64_t n_columns, const float* sums) {
  for (int64_t r = 0; r < n_rows; ++r) {
    const typename Lanes::Vector sum = Lanes::all(sums[r]);
    for (int64_t c = 0; c < n_columns; c += Lanes::width) {
      float* place = rows + r * step + c;
      Lanes::store(place, Lanes::div(Lanes::load(place), sum));
    }
  }
}

template <class Lanes, int kRows, int kPanels> EVTOK_FORMULA EncoderKernels encoder_kernels_of() {
  return {multiply_matrices<Lanes, kRows, kPanels>,
          activate_rows<Lanes>,
          normalise_rows<Lanes>,
          weigh_scores<Lanes>,
          transpose_rows<Lanes>,
          divide_rows<Lanes>,
          nullptr,
          nullptr};
}

EncoderKernels encoder_kernels_scalar();
EncoderKernels encoder_kernels_avx2();
EncoderKernels encoder_kernels_avx512();
EncoderKernels encoder_kernels_avx512_bf16();

/// Whether this processor's VDPBF16PS adds each product in a fused step of its own, rounded to nearest even,
/// as its makers say and the contract needs.
bool products_are_fused_avx512_bf16();

}  // namespace evtok
