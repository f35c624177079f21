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

// Takes kClasses classes into the least distances and the classes found of kVectors vectors of rows.
template <class L, int kClasses>
EVTOK_FORMULA void compare_classes(const float* y, const float* w, int64_t n_dims, int32_t first_class,
                                   typename L::Vector (&least)[kVectors],
                                   typename L::Index (&found)[kVectors]) {
  typename L::Vector s[kClasses][kVectors];
  for (int k = 0; k < kClasses; ++k)
    for (int v = 0; v < kVectors; ++v) s[k][v] = L::zero();
  for (int64_t o = 0; o < n_dims; ++o) {
    typename L::Vector mean[kClasses];
    for (int k = 0; k < kClasses; ++k) mean[k] = L::all(w[k * n_dims + o]);
    for (int v = 0; v < kVectors; ++v) {
      const typename L::Vector value = L::load(y + o * kClassRows + v * L::width);
      for (int k = 0; k < kClasses; ++k) {
        const typename L::Vector z = L::sub(value, mean[k]);
        s[k][v] = L::fma(z, z, s[k][v]);
      }
    }
  }
  for (int v = 0; v < kVectors; ++v)
    for (int k = 0; k < kClasses; ++k) {
      found[v] = L::where_less(s[k][v], least[v], L::index(first_class + k), found[v]);
      least[v] = L::min(s[k][v], least[v]);  // which is kept where s is NaN
    }
}

template <class L>
EVTOK_FORMULA void nearest_class(const float* y, const float* w, int64_t n_classes, int64_t n_dims,
                                 int32_t first_class, float* least, int32_t* classes) {
  for (int64_t r = 0; r < kClassRows; r += kVectors * L::width) {
    typename L::Vector lowest[kVectors];
    typename L::Index found[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      lowest[v] = L::load(least + r + v * L::width);
      found[v] = L::load_index(classes + r + v * L::width);
    }
    int64_t k = 0;
    for (; k + 2 <= n_classes; k += 2)
      compare_classes<L, 2>(y + r, w + k * n_dims, n_dims, first_class + static_cast<int32_t>(k), lowest,
                            found);
    if (k < n_classes)
      compare_classes<L, 1>(y + r, w + k * n_dims, n_dims, first_class + static_cast<int32_t>(k), lowest,
                            found);
    for (int v = 0; v < kVectors; ++v) {
      L::store(least + r + v * L::width, lowest[v]);
      L::store_index(classes + r + v * L::width, found[v]);
    }
  }
}

}  // namespace
}  // namespace evtok
