// The tiles of class_distances.hpp for the lanes of one instruction set. Included by files compiled for it
// alone; in an anonymous namespace, so that nothing of it reaches another file at link time.
#pragma once

#include "evtok/class_distances.hpp"
#include "evtok/numerics.hpp"

namespace evtok {
namespace {

constexpr int kVectors = 4;  // in flight together, to hide the latency of a chain

template <class L>
EVTOK_FORMULA void shift_tile(const float* x, const float* centre, int64_t n_dims, float* d) {
  for (int64_t j = 0; j < n_dims; ++j) {
    const auto c = L::all(centre[j]);
    for (int64_t r = j * kClassRows; r < (j + 1) * kClassRows; r += L::width)
      L::store(d + r, L::sub(L::load(x + r), c));
  }
}

// y[o] to y[o + kOutputs - 1] of kVectors vectors of rows. The chain of a later output meets zeros first.
template <class L, int kOutputs>
EVTOK_FORMULA void whiten_outputs(const float* factor, const float* d, int64_t n_dims, int64_t o, float* y) {
  typename L::Vector t[kOutputs][kVectors];
  for (int k = 0; k < kOutputs; ++k)
    for (int v = 0; v < kVectors; ++v) t[k][v] = L::zero();
  const float* row = factor + o * n_dims;
  for (int64_t j = o; j < n_dims; ++j) {
    typename L::Vector weight[kOutputs];
    for (int k = 0; k < kOutputs; ++k) weight[k] = L::all(row[k * n_dims + j]);
    for (int v = 0; v < kVectors; ++v) {
      const typename L::Vector value = L::load(d + j * kClassRows + v * L::width);
      for (int k = 0; k < kOutputs; ++k) t[k][v] = L::fma(weight[k], value, t[k][v]);
    }
  }
  for (int k = 0; k < kOutputs; ++k)
    for (int v = 0; v < kVectors; ++v) L::store(y + (o + k) * kClassRows + v * L::width, t[k][v]);
}

template <class L, int kOutputs>
EVTOK_FORMULA void whiten_tile(const float* factor, const float* d, int64_t n_dims, float* y) {
  static_assert(kFactorRows % kOutputs == 0);
  for (int64_t r = 0; r < kClassRows; r += kVectors * L::width)
    for (int64_t o = 0; o < n_dims; o += kOutputs)
      whiten_outputs<L, kOutputs>(factor, d + r, n_dims, o, y + r);
}

// kClasses classes and kVectors vectors of rows at a time.
template <class L, int kClasses>
EVTOK_FORMULA void compare_classes(const float* y, const float* w, int64_t n_dims, int32_t first_class,
                                   float* least, int32_t* classes) {
  for (int64_t r = 0; r < kClassRows; r += kVectors * L::width) {
    typename L::Vector s[kClasses][kVectors];
    for (int k = 0; k < kClasses; ++k)
      for (int v = 0; v < kVectors; ++v) s[k][v] = L::zero();
    for (int64_t o = 0; o < n_dims; ++o) {
      for (int v = 0; v < kVectors; ++v) {
        const typename L::Vector value = L::load(y + o * kClassRows + r + v * L::width);
        for (int k = 0; k < kClasses; ++k) {
          const typename L::Vector z = L::sub(value, L::all(w[k * n_dims + o]));
          s[k][v] = L::fma(z, z, s[k][v]);
        }
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      float* place = least + r + v * L::width;
      int32_t* found = classes + r + v * L::width;
      for (int k = 0; k < kClasses; ++k) {
        float values[L::width];
        L::store(values, s[k][v]);
        for (int i = 0; i < L::width; ++i) {
          const bool less = values[i] < place[i];
          place[i] = less ? values[i] : place[i];
          found[i] = less ? first_class + k : found[i];
        }
      }
    }
  }
}

template <class L>
EVTOK_FORMULA void nearest_class(const float* y, const float* w, int64_t n_classes, int64_t n_dims,
                                 int32_t first_class, float* least, int32_t* classes) {
  int64_t k = 0;
  for (; k + 2 <= n_classes; k += 2)
    compare_classes<L, 2>(y, w + k * n_dims, n_dims, first_class + static_cast<int32_t>(k), least, classes);
  if (k < n_classes)
    compare_classes<L, 1>(y, w + k * n_dims, n_dims, first_class + static_cast<int32_t>(k), least, classes);
}

}  // namespace
}  // namespace evtok
