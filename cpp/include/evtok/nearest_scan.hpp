// The exhaustive search: every row against every code, in tiles of rows x lanes of codes.
//
// Templates over the lanes of an instruction set (lanes_*.hpp). Each instruction set's file instantiates them
// with lanes of its own, so no copy of one can replace that of another at link time; no STL here for the same
// reason.
#pragma once

#include <cstdint>

#include "evtok/code_panels.hpp"
#include "evtok/numerics.hpp"

namespace evtok {

/// The neighbours found so far of a block of rows, each list sorted; borrowed.
template <class T> struct NeighbourLists {
  int64_t k;       // length of a list
  T* values;       // (n_rows, k)
  int32_t* ids;    // (n_rows, k)
  int64_t* found;  // (n_rows,): entries of a list that are filled
};

/// A range of panels (code_panels.hpp) to search; borrowed.
template <class T> struct PanelRange {
  const T* values;  // panels from `first_code` on
  int64_t n_panels, n_dims;
  int64_t first_code;  // index of the first code of the range
  int64_t n_codes;     // codes of the whole codebook: a place at or past it holds none
};

/// Searches `codes` for each of n_rows rows x (n_rows, n_dims) row-major, and inserts what is near enough.
template <class T>
using ScanPanels = void (*)(const PanelRange<T>& codes, const T* x, int64_t n_rows,
                            const NeighbourLists<T>& lists);

template <class T, bool kDot> EVTOK_FORMULA bool is_nearer(T a, T b) {
  return kDot ? a > b : a < b;
}

/// The specification, one row and one code; see nearest.hpp.
template <class T, bool kDot> EVTOK_FORMULA T chain_step(T x, T c, T s) {
  if (kDot) return __builtin_fma(x, c, s);
  const T t = x - c;
  return __builtin_fma(t, t, s);
}
template <> EVTOK_FORMULA float chain_step<float, false>(float x, float c, float s) {
  const float t = x - c;
  return __builtin_fmaf(t, t, s);
}
template <> EVTOK_FORMULA float chain_step<float, true>(float x, float c, float s) {
  return __builtin_fmaf(x, c, s);
}
template <class T, bool kDot> EVTOK_FORMULA T chain_value(const T* x, const T* code, int64_t n_dims) {
  T s = 0;
  for (int64_t j = 0; j < n_dims; ++j) s = chain_step<T, kDot>(x[j], code[j], s);
  return s;
}

/// Codes arrive in increasing order of their ids, so an equal value goes behind those that are there.
template <class T, bool kDot>
EVTOK_FORMULA void insert_neighbour(T value, int32_t id, int64_t row, const NeighbourLists<T>& lists) {
  T* values = lists.values + row * lists.k;
  int32_t* ids = lists.ids + row * lists.k;
  int64_t place = lists.found[row];
  if (place == lists.k) {
    if (!is_nearer<T, kDot>(value, values[place - 1])) return;
    --place;
  } else {
    ++lists.found[row];
  }
  for (; place > 0 && is_nearer<T, kDot>(value, values[place - 1]); --place) {
    values[place] = values[place - 1];
    ids[place] = ids[place - 1];
  }
  values[place] = value;
  ids[place] = id;
}

/// What a value has to beat: the last of a full list; NaN, which everything beats, before it is full.
template <class T> EVTOK_FORMULA T threshold_of(int64_t row, const NeighbourLists<T>& lists) {
  return lists.found[row] == lists.k ? lists.values[row * lists.k + lists.k - 1]
                                     : static_cast<T>(__builtin_nanf(""));
}

/// kRows rows against the codes, kVectors vectors of lanes at a time, accumulators in registers.
template <class Lanes, bool kDot, int kRows, int kVectors>
EVTOK_FORMULA void scan_tile(const PanelRange<typename Lanes::Value>& codes, const typename Lanes::Value* x,
                             int64_t row, const NeighbourLists<typename Lanes::Value>& lists) {
  using T = typename Lanes::Value;
  using Vector = typename Lanes::Vector;
  constexpr int kWidth = Lanes::width, kStep = kVectors * kWidth;
  const int64_t n_dims = codes.n_dims;
  T thresholds[kRows];
  for (int r = 0; r < kRows; ++r) thresholds[r] = threshold_of(row + r, lists);
  for (int64_t panel = 0; panel < codes.n_panels; ++panel) {
    for (int place = 0; place < kPanelCodes; place += kStep) {
      const T* c = codes.values + panel * n_dims * kPanelCodes + place;
      Vector s[kRows][kVectors];
      for (auto& tile_row : s)
        for (Vector& value : tile_row) value = Lanes::zero();
      for (int64_t j = 0; j < n_dims; ++j, c += kPanelCodes) {
        Vector code[kVectors];
        for (int v = 0; v < kVectors; ++v) code[v] = Lanes::load(c + v * kWidth);
        for (int r = 0; r < kRows; ++r) {
          const Vector coordinate = Lanes::all(x[r * n_dims + j]);
          for (int v = 0; v < kVectors; ++v) {
            if (kDot) {
              s[r][v] = Lanes::fma(coordinate, code[v], s[r][v]);
            } else {
              const Vector t = Lanes::sub(coordinate, code[v]);
              s[r][v] = Lanes::fma(t, t, s[r][v]);
            }
          }
        }
      }
      bool hit = false;
      for (int r = 0; r < kRows; ++r)
        hit |= Lanes::template any_beats<kDot, kVectors>(s[r], Lanes::all(thresholds[r]));
      if (__builtin_expect(!hit, 1)) continue;
      const int64_t first = codes.first_code + panel * kPanelCodes + place;
      for (int r = 0; r < kRows; ++r) {
        T values[kStep];
        for (int v = 0; v < kVectors; ++v) Lanes::store(values + v * kWidth, s[r][v]);
        for (int lane = 0; lane < kStep && first + lane < codes.n_codes; ++lane) {
          const bool behind = kDot ? values[lane] <= thresholds[r] : values[lane] >= thresholds[r];
          if (behind) continue;
          insert_neighbour<T, kDot>(values[lane], static_cast<int32_t>(first + lane), row + r, lists);
          thresholds[r] = threshold_of(row + r, lists);
        }
      }
    }
  }
}

template <class Lanes, bool kDot>
EVTOK_FORMULA void scan_panels(const PanelRange<typename Lanes::Value>& codes, const typename Lanes::Value* x,
                               int64_t n_rows, const NeighbourLists<typename Lanes::Value>& lists) {
  int64_t row = 0;
  for (; row + Lanes::tile_rows <= n_rows; row += Lanes::tile_rows)
    scan_tile<Lanes, kDot, Lanes::tile_rows, Lanes::tile_vectors>(codes, x + row * codes.n_dims, row, lists);
  for (; row < n_rows; ++row)
    scan_tile<Lanes, kDot, 1, Lanes::row_vectors>(codes, x + row * codes.n_dims, row, lists);
}

void scan_l2_f32_avx2(const PanelRange<float>&, const float*, int64_t, const NeighbourLists<float>&);
void scan_dot_f32_avx2(const PanelRange<float>&, const float*, int64_t, const NeighbourLists<float>&);
void scan_l2_f64_avx2(const PanelRange<double>&, const double*, int64_t, const NeighbourLists<double>&);
void scan_dot_f64_avx2(const PanelRange<double>&, const double*, int64_t, const NeighbourLists<double>&);
void scan_l2_f32_avx512(const PanelRange<float>&, const float*, int64_t, const NeighbourLists<float>&);
void scan_dot_f32_avx512(const PanelRange<float>&, const float*, int64_t, const NeighbourLists<float>&);
void scan_l2_f64_avx512(const PanelRange<double>&, const double*, int64_t, const NeighbourLists<double>&);
void scan_dot_f64_avx512(const PanelRange<double>&, const double*, int64_t, const NeighbourLists<double>&);

#define EVTOK_DEFINE_SCANS(isa, Lanes32, Lanes64)                                                            \
  void scan_l2_f32_##isa(const PanelRange<float>& codes, const float* x, int64_t n_rows,                     \
                         const NeighbourLists<float>& lists) {                                               \
    scan_panels<Lanes32, false>(codes, x, n_rows, lists);                                                    \
  }                                                                                                          \
  void scan_dot_f32_##isa(const PanelRange<float>& codes, const float* x, int64_t n_rows,                    \
                          const NeighbourLists<float>& lists) {                                              \
    scan_panels<Lanes32, true>(codes, x, n_rows, lists);                                                     \
  }                                                                                                          \
  void scan_l2_f64_##isa(const PanelRange<double>& codes, const double* x, int64_t n_rows,                   \
                         const NeighbourLists<double>& lists) {                                              \
    scan_panels<Lanes64, false>(codes, x, n_rows, lists);                                                    \
  }                                                                                                          \
  void scan_dot_f64_##isa(const PanelRange<double>& codes, const double* x, int64_t n_rows,                  \
                          const NeighbourLists<double>& lists) {                                             \
    scan_panels<Lanes64, true>(codes, x, n_rows, lists);                                                     \
  }

}  // namespace evtok
