// The filter of tensor cores before the search for one nearest code of many dimensions, in float32.
//
// Products of bfloat16 numbers say which codes can be the nearest, and the specification decides among them.
// With a centre m (0 for dot), y = x - m and d = c - m in real numbers, the ranking of l2 is that of
// h = |d|^2 / 2 - y.d, and that of dot is h = -y.d. The estimate is e = fl(bias - P), bias = fl(|d|^2 / 2) or
// 0, and P what tensor cores make of the rounded numbers. With u = 2^-24 and n = max |d|:
//   * fl(x - m) rounded to 8 bits is off by at most b = 2^-8 (1 + 2^-14) of y, and by 2^-126 where it may be
//     flushed; d likewise. So the exact product of the rounded numbers is off by (2 b + b^2) |y| n, and tiny.
//   * Tensor cores add in an order of their own. That every addition is right to 2^-21 of the largest number
//     in it is assumed, four times what a truncated float32 has: g = (D + 16) 2^-21 of the sum of all
//     |products|, which is at most 1.01 |y| n.
//   * bias and the difference: 2 u (n^2 / 2 + 1.02 |y| n).
// These make |h - e| <= E. The specification's s is within eta = (1 + u)^(D + 2) - 1 of |x - c|^2 (its p
// within eta |x| |c| of x.c), so as in cpp/include/evtok/nearest_filter.hpp its winner, and every code that
// ties with it, has
//   e <= min e + 2 E + kappa (2 E + |y|^2 / 2 + n^2 + 2 |y| n) =: min e + slack,  kappa = 2 eta / (1 - eta).
// slack is rounded up, and has terms for what underflows. Rows and codes of a length of 2^60 or more, zero
// and masked rows, and rows whose list of candidates is too short are searched through all codes.
//
// A minimum of the codes so far is not below that of all, so one pass finds all candidates, and some more:
// the next codes that are near enough are as rare as records, about twice ln(tiles) in all.
//
// An H200 multiplies 2 D K numbers a row at some 600 TFLOP/s by mma.sync: 1.1e9 rows/s for K = 1024, D = 256,
// if nothing else counted; half of that is hoped for.
#pragma once

#include "nearest.cuh"

namespace evtok::cuda {

inline constexpr int kFilterTile = 128;           // rows, and codes, of a tile
inline constexpr int kFilterDims = 64;            // dimensions are padded to a multiple
inline constexpr int kFilterCandidates = 16;      // of a row's list
inline constexpr int64_t kFilterMostDims = 4096;  // of the bound

/// A codebook as the filter sees it, borrowed; written by prepare_filter.
struct FilterTables {
  float* centre;    // (dims,)
  uint32_t* codes;  // (code tiles, dims / 16, 16, 32, 2): pairs of bfloat16 as matrix_product.cuh has B
  float* bias;      // (code tiles * 128,): infinity where there is no code
  float* longest;   // (1,): n; infinity where the bound does not hold
};

/// Memory for kFilterRows rows at a time, of the caller.
struct FilterScratch {
  uint32_t* rows;   // (row tiles, dims / 16, 8, 32, 4): as matrix_product.cuh has A
  float* slack;     // (rows,): infinity for rows that are searched through all codes
  float* minima;    // (rows,)
  int32_t* counts;  // (rows,)
  float2* lists;    // (rows, kFilterCandidates): estimate, and the bits of the id
};

/// Numbers of each array above, in the order of its members.
struct FilterSizes {
  int64_t dims, tiles, codes, bias;
  FilterSizes(int64_t n_codes, int64_t n_dims)
      : dims((n_dims + kFilterDims - 1) / kFilterDims * kFilterDims),
        tiles((n_codes + kFilterTile - 1) / kFilterTile), codes(tiles * kFilterTile * dims / 2),
        bias(tiles * kFilterTile) {}
};

/// codes (n_codes, n_dims) row-major on the device.
cudaError_t prepare_filter(const float* codes, int64_t n_codes, int64_t n_dims, bool dot,
                           const FilterTables& tables, cudaStream_t stream);

/// nearest() for k = 1 without margin. `scratch` is for `scratch_rows` rows, a multiple of kFilterTile.
cudaError_t nearest_filter(const RowsView<float>& rows, const NearestCodes<float>& codes,
                           const FilterTables& tables, const FilterScratch& scratch, int64_t scratch_rows,
                           const Neighbours<float>& out, Status* faults, cudaStream_t stream);

}  // namespace evtok::cuda
