// The squared Mahalanobis distance of a row to the nearest of K classes.
//
// Contract. A precision matrix comes as a factor U (D, D), upper triangular, with precision = U^T U: rows of
// float32 x[0..D-1] are whitened by y[o] = (t = +0; for j in o..D-1: t = fma(U[o][j], d[j], t)), and then
// s = 0; for o in 0..D-1: z = fl(y[o] - w[o]), s = fma(z, z, s). Classes that share one factor have
// d[j] = fl(x[j] - c[j]) with one centre c, and a whitened mean w each; classes with factors of their own
// have d[j] = fl(x[j] - m[j]) with their means m, and w = 0. The score is the least s, the class the lowest
// index that has it; an s that is not finite is never the least. A row without a finite s is invalid: its
// score is NaN and its class -1. Vector lanes run across rows, so the bits of a row depend neither on the
// other rows nor on the instruction set. (Kernels may add products with the zeros below the diagonal: they
// change no finite s.)
#pragma once

#include <cstdint>

#include "evtok/numerics.hpp"
#include "evtok/row_scores.hpp"

namespace evtok {

inline constexpr int64_t kClassRows = 64;   // rows of a tile
inline constexpr int64_t kFactorRows = 12;  // the rows of a factor are padded to a multiple of this

/// All arrays are row-major and borrowed. A plain struct, so that files compiled for one instruction set can
/// use it.
struct Classes {
  int64_t n_classes, n_dims;
  bool shared;           // one factor for all classes
  const float* centres;  // c (D,) if shared, else m (K, D)
  const float*
      factors;  // U, (P, D) or (K, P, D): P is n_dims padded; zeros below the diagonal and in padding
  const float* whitened;  // w (K, D) if shared, else (1, D) zeros
};

/// Rows of a factor with its padding.
EVTOK_HD constexpr int64_t padded_rows(int64_t n_dims) {
  return (n_dims + kFactorRows - 1) / kFactorRows * kFactorRows;
}

// The three parts of a tile; x, d and y are (n_dims, kClassRows) row-major, so that lanes are rows.

/// d = x - centre (n_dims,).
using ShiftTile = void (*)(const float* x, const float* centre, int64_t n_dims, float* d);

/// y = U d, U (padded_rows(n_dims), n_dims), for y (padded_rows(n_dims), kClassRows).
using WhitenTile = void (*)(const float* factor, const float* d, int64_t n_dims, float* y);

/// Takes the distances from w (n_classes, n_dims) into least (kClassRows,) and classes (kClassRows,), where
/// the classes are first_class, first_class + 1, ...
using NearestClass = void (*)(const float* y, const float* w, int64_t n_classes, int64_t n_dims,
                              int32_t first_class, float* least, int32_t* classes);

void shift_tile_scalar(const float*, const float*, int64_t, float*);
void shift_tile_avx2(const float*, const float*, int64_t, float*);
void shift_tile_avx512(const float*, const float*, int64_t, float*);
void whiten_tile_scalar(const float*, const float*, int64_t, float*);
void whiten_tile_avx2(const float*, const float*, int64_t, float*);
void whiten_tile_avx512(const float*, const float*, int64_t, float*);
void nearest_class_scalar(const float*, const float*, int64_t, int64_t, int32_t, float*, int32_t*);
void nearest_class_avx2(const float*, const float*, int64_t, int64_t, int32_t, float*, int32_t*);
void nearest_class_avx512(const float*, const float*, int64_t, int64_t, int32_t, float*, int32_t*);

/// Every row of x (n, n_dims) to scores (n,) and, unless null, to the class in nearest (n,).
InvalidRows class_distances(const Classes& classes, const float* x, int64_t n, int threads, float* scores,
                            int32_t* nearest);

}  // namespace evtok
