// The kernels of the coarse stage (nearest_coarse.hpp) over the integer lanes of an instruction set. No STL
// here.
#pragma once

#include <cstdint>

#include "evtok/nearest_coarse.hpp"
#include "evtok/nearest_scan.hpp"

namespace evtok {

/// The sums of kRows rows over a stretch of n quads of a panel.
template <class Lanes, int kRows, int kVectors>
EVTOK_FORMULA void coarse_stretch(typename Lanes::Vector (&sum)[kRows][kVectors], const int16_t* start,
                                  const int8_t* c, const uint8_t* x, int64_t row_bytes, int64_t n) {
  for (int v = 0; v < kVectors; ++v) {
    const typename Lanes::Vector first = Lanes::load_words(start + v * Lanes::width * 2);
    for (int r = 0; r < kRows; ++r) sum[r][v] = first;
  }
  do {  // at least once: no test in front
    typename Lanes::Vector code[kVectors];
    for (int v = 0; v < kVectors; ++v) code[v] = Lanes::load_bytes(c + v * Lanes::width * 4);
    for (int r = 0; r < kRows; ++r) {
      const typename Lanes::Vector row = Lanes::all_quads(x + r * row_bytes);
      for (int v = 0; v < kVectors; ++v) sum[r][v] = Lanes::add_byte_products(sum[r][v], row, code[v]);
    }
    c += kVectors * Lanes::width * 4;
    x += 4;
  } while (--n > 0);
}

/// kRows rows: the estimates of a panel of codes at once in registers, their minima kept for each group.
template <class Lanes, int kRows, bool kOneStretch>
EVTOK_FORMULA void coarse_tile(const CoarseView& codes, const uint8_t* x, int64_t stride, int32_t* minima) {
  using Vector = typename Lanes::Vector;
  constexpr int kVectors = kFilterPanel / Lanes::width;
  constexpr int64_t kQuadBytes = kFilterPanel * 4;
  const int64_t row_bytes = codes.n_quads * 4, n_first = kOneStretch ? codes.n_quads : codes.stretch;
  const int8_t* c = codes.codes;
  const int32_t* bias = codes.bias;
  const int16_t* start = codes.starts;
  for (int64_t group = 0; group < codes.n_groups; ++group) {
    Vector smallest[kRows];
    for (Vector& value : smallest) value = Lanes::all(INT32_MAX);
    for (int64_t panel = 0; panel < codes.group_panels; ++panel) {
      Vector sum[kRows][kVectors], estimate[kRows][kVectors];
      coarse_stretch<Lanes, kRows, kVectors>(sum, start, c, x, row_bytes, n_first);
      for (int v = 0; v < kVectors; ++v) {
        const Vector code_bias = Lanes::load(bias + v * Lanes::width);
        for (int r = 0; r < kRows; ++r) estimate[r][v] = Lanes::add_stretch(code_bias, sum[r][v]);
      }
      start += kFilterPanel * 2;
      if constexpr (!kOneStretch)
        for (int64_t quad = n_first; quad < codes.n_quads; quad += codes.stretch) {
          const int64_t left = codes.n_quads - quad, n = left < codes.stretch ? left : codes.stretch;
          coarse_stretch<Lanes, kRows, kVectors>(sum, start, c + quad * kQuadBytes, x + quad * 4, row_bytes,
                                                 n);
          for (int r = 0; r < kRows; ++r)
            for (int v = 0; v < kVectors; ++v) estimate[r][v] = Lanes::add_stretch(estimate[r][v], sum[r][v]);
          start += kFilterPanel * 2;
        }
      for (int r = 0; r < kRows; ++r)
        for (int v = 0; v < kVectors; ++v) smallest[r] = Lanes::min(smallest[r], estimate[r][v]);
      c += codes.n_quads * kQuadBytes;
      bias += kFilterPanel;
    }
    for (int r = 0; r < kRows; ++r) Lanes::store(minima + (r * stride + group) * Lanes::width, smallest[r]);
  }
}

template <class Lanes, bool kOneStretch>
EVTOK_FORMULA void coarse_tiles(const CoarseView& codes, const uint8_t* x, int64_t n_rows, int64_t stride,
                                int32_t* minima) {
  const int64_t row_bytes = codes.n_quads * 4, row_minima = stride * Lanes::width;
  int64_t row = 0;
  for (; row + Lanes::tile_rows <= n_rows; row += Lanes::tile_rows)
    coarse_tile<Lanes, Lanes::tile_rows, kOneStretch>(codes, x + row * row_bytes, stride,
                                                      minima + row * row_minima);
  for (; row < n_rows; ++row)
    coarse_tile<Lanes, 1, kOneStretch>(codes, x + row * row_bytes, stride, minima + row * row_minima);
}

template <class Lanes>
EVTOK_FORMULA void coarse_minima(const CoarseView& codes, const uint8_t* x, int64_t n_rows, int64_t stride,
                                 int32_t* minima) {
  if (codes.stretch >= codes.n_quads)
    coarse_tiles<Lanes, true>(codes, x, n_rows, stride, minima);
  else
    coarse_tiles<Lanes, false>(codes, x, n_rows, stride, minima);
}

/// Plain C for the compiler's vectors: integers, so that any order gives the same sums.
EVTOK_FORMULA CoarseRow coarse_round_row(const int16_t* x, int64_t n, int32_t step, int64_t n_quads,
                                         uint8_t* rounded) {
  const int32_t reciprocal = ((1 << 15) + step / 2) / step;
  uint32_t square = 0, rest = 0;  // below 2^31 for rows within the range
  int32_t largest = 0;
  for (int64_t j = 0; j < n; ++j) {
    const int32_t value = x[j], size = value < 0 ? -value : value;
    int32_t u = (value * reciprocal + (1 << 14)) >> 15;
    u = u > 63 ? 63 : u;
    u = u < -63 ? -63 : u;
    const auto left = static_cast<uint32_t>(value - step * u);
    rounded[j] = static_cast<uint8_t>(u + 64);
    square += static_cast<uint32_t>(u * u);
    rest += left * left;
    largest = size > largest ? size : largest;
  }
  for (int64_t j = n; j < n_quads * 4; ++j) rounded[j] = 64;
  return {square, rest, largest};
}

/// Several chains side by side, because each step of one waits for the step before.
template <class T, bool kDot>
EVTOK_FORMULA void chain_pairs(const ChainPair<T>* pairs, int64_t n, int64_t n_dims, T* values) {
  constexpr int kPairs = 6;
  int64_t i = 0;
  for (; i + kPairs <= n; i += kPairs) {
    const T *x[kPairs], *c[kPairs];
    T s[kPairs];
    for (int p = 0; p < kPairs; ++p) {
      x[p] = pairs[i + p].x;
      c[p] = pairs[i + p].code;
      s[p] = 0;
    }
    for (int64_t j = 0; j < n_dims; ++j)
      for (int p = 0; p < kPairs; ++p) s[p] = chain_step<T, kDot>(x[p][j], c[p][j], s[p]);
    for (int p = 0; p < kPairs; ++p) values[i + p] = s[p];
  }
  for (; i < n; ++i) values[i] = chain_value<T, kDot>(pairs[i].x, pairs[i].code, n_dims);
}

}  // namespace evtok
