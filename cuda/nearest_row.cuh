// What the routes to the nearest code share: which rows are refused, and what is written for them.
#pragma once

#include "evtok/nearest.hpp"
#include "evtok/nearest_scan.hpp"
#include "nearest.cuh"
#include "status.cuh"

namespace evtok::cuda {

template <class T> struct Limits;
template <> struct Limits<float> {
  static constexpr float infinity = __builtin_huge_valf(), largest = 0x1.fffffep127F, epsilon = 0x1p-23F;
};
template <> struct Limits<double> {
  static constexpr double infinity = __builtin_huge_val(), largest = 0x1.fffffffffffffp1023,
                          epsilon = 0x1p-52;
};
inline constexpr int32_t kNoId = 0x7FFFFFFF;  // behind every id

template <class T> EVTOK_FORMULA T magnitude(T x) {
  return x < 0 ? -x : x;
}
template <class T> EVTOK_FORMULA bool is_finite(T x) {
  return magnitude(x) <= Limits<T>::largest;
}

/// The lexicographic order of neighbours.
template <class T, bool kDot> EVTOK_FORMULA bool before(T a, int32_t a_id, T b, int32_t b_id) {
  return is_nearer<T, kDot>(a, b) || (a == b && a_id < b_id);
}
/// Behind every value that a row may have.
template <class T, bool kDot> EVTOK_FORMULA T farthest() {
  return kDot ? -Limits<T>::infinity : Limits<T>::infinity;
}

/// True where no product with this row overflows, whatever its coordinates are (nearest.cpp has the same).
template <class T> EVTOK_FORMULA bool products_fit(T largest, T largest_code, int64_t n_dims) {
  const double dims = static_cast<double>(n_dims);
  return static_cast<double>(largest) * static_cast<double>(largest_code) * dims *
             (1 + dims * static_cast<double>(Limits<T>::epsilon)) <
         static_cast<double>(Limits<T>::largest);
}

#if defined(__CUDACC__) || defined(EVTOK_CUDA_EMULATED)

/// Writes what a refused row gets, entries begin, begin + step...; the thread with begin 0 counts it, unless
/// it is masked.
template <class T>
__device__ __forceinline__ void refuse(const Neighbours<T>& out, int64_t row, RowFault fault, Status* faults,
                                       int begin, int step) {
  constexpr T kNone = static_cast<T>(__builtin_nan(""));
  for (int64_t i = begin; i < out.k; i += step) {
    out.ids[row * out.k + i] = -1;
    if (out.values != nullptr) out.values[row * out.k + i] = kNone;
  }
  if (begin != 0) return;
  if (out.margin != nullptr) out.margin[row] = kNone;
  if (fault != RowFault::masked)
    report(&faults[static_cast<int>(fault) - static_cast<int>(RowFault::not_finite)], row);
}

/// No fault of a row, but of the codebook; counted behind those.
inline constexpr RowFault kBadCodes = static_cast<RowFault>(5);

/// What is wrong with a row by its largest magnitude, before any code is looked at. `suspicious` says that a
/// product may overflow.
template <class T>
__device__ __forceinline__ RowFault fault_of(bool finite, T largest, const NearestCodes<T>& codes,
                                             bool* suspicious) {
  *suspicious = false;
  const T largest_code = *codes.largest;
  if (!is_finite(largest_code)) return kBadCodes;
  if (!finite) return RowFault::not_finite;
  if (codes.metric == Metric::l2) return RowFault::none;
  if (codes.metric == Metric::cosine && largest == 0) return RowFault::zero;
  *suspicious = !products_fit(largest, largest_code, codes.n_dims);
  return RowFault::none;
}

#endif

}  // namespace evtok::cuda
