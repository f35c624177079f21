// The nearest code on the GPU: the ids, values and margins of cpp/include/evtok/nearest.hpp, bit for bit.
//
// Routes, which differ in time alone:
//   every  a warp takes rows, its lanes 32 codes at a time: any number of dimensions and of neighbours
//   tile   a thread takes rows, codes pass by in shared memory: one neighbour of few dimensions, many rows
//   boxes  a warp takes a row and leaves out boxes of codes whose exact lower bound is above what it has: l2
//          of few dimensions and many codes
// and a fourth in nearest_filter.cuh, where tensor cores leave out most codes: one neighbour of many
// dimensions.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "evtok/nearest.hpp"
#include "status.cuh"

namespace evtok::cuda {

/// A codebook on the device; borrowed.
template <class T> struct NearestCodes {
  const T* codes;  // (n_codes, n_dims) row-major, normalised for cosine
  int64_t n_codes, n_dims;
  Metric metric;
  const T* panels;   // (ceil(n_codes / 32), n_dims, 32): prepare_codes
  const T* largest;  // (1,): the largest |c[j]|; infinity where one is not finite
};

/// Leaves of 32 codes and branches of 32 leaves, each with the smallest box around its codes; borrowed.
/// Places past the last code hold infinity, and the id 2^31 - 1.
template <class T> struct NearestBoxes {
  const T* branches;   // (ceil(n_branches / 32), n_dims, 2, 32): lo and hi
  const T* leaves;     // (n_branches, n_dims, 2, 32)
  const T* codes;      // (n_leaves, n_dims, 32)
  const int32_t* ids;  // (n_leaves, 32)
  int64_t n_leaves;    // 0 where there are no boxes
};

enum class NearestRoute : int32_t { automatic, every, tile, boxes };

/// Statuses of a search, in this order: rows that are not finite, zero (cosine), of overflow, and rows that
/// found a codebook which is not finite.
inline constexpr int kNearestStatuses = 4;
inline constexpr int kFewDims = 16;     // of the route `tile`
inline constexpr int64_t kBoxDims = 8;  // most that boxes are worth building for

/// Writes `panels` and `largest` of a codebook. panels may be null.
template <class T>
cudaError_t prepare_codes(const T* codes, int64_t n_codes, int64_t n_dims, T* panels, T* largest,
                          cudaStream_t stream);

/// Numbers of each array of a NearestBoxes.
struct BoxSizes {
  int64_t n_leaves, branches, leaves, codes, ids;
  BoxSizes(int64_t n_codes, int64_t n_dims)
      : n_leaves((n_codes + 31) / 32), branches((n_codes + 32767) / 32768 * n_dims * 64),
        leaves((n_codes + 1023) / 1024 * n_dims * 64), codes(n_leaves * n_dims * 32), ids(n_leaves * 32) {}
};

/// Writes the arrays of a NearestBoxes, for codes taken in the given order (n_codes,), a permutation: 32 in a
/// row become a leaf, and 1024 a branch. Any order is right; one that puts near codes together is fast.
template <class T>
cudaError_t prepare_boxes(const T* codes, int64_t n_codes, int64_t n_dims, const int32_t* order, T* branches,
                          T* leaves, T* ordered, int32_t* ids, cudaStream_t stream);

/// normalise_codes of nearest.hpp; codes without a direction become NaN, and are counted.
template <class T>
cudaError_t normalise_codes(const T* codes, int64_t n_codes, int64_t n_dims, T* normalised, Status* faults,
                            cudaStream_t stream);

/// The route that `automatic` takes.
template <class T>
NearestRoute route_of(int64_t n, const NearestCodes<T>& codes, const NearestBoxes<T>& boxes,
                      const Neighbours<T>& out);

/// Searches. faults: kNearestStatuses, cleared by the caller. A route that cannot serve is an invalid value.
template <class T>
cudaError_t nearest(const RowsView<T>& rows, const NearestCodes<T>& codes, const NearestBoxes<T>& boxes,
                    const Neighbours<T>& out, Status* faults, NearestRoute route, cudaStream_t stream);

// ---- the routes ----

template <class T>
cudaError_t nearest_every(const RowsView<T>& rows, const NearestCodes<T>& codes, const Neighbours<T>& out,
                          Status* faults, cudaStream_t stream);
template <class T>
cudaError_t nearest_tile(const RowsView<T>& rows, const NearestCodes<T>& codes, const Neighbours<T>& out,
                         Status* faults, cudaStream_t stream);
template <class T>
cudaError_t nearest_boxes(const RowsView<T>& rows, const NearestCodes<T>& codes, const NearestBoxes<T>& boxes,
                          const Neighbours<T>& out, Status* faults, cudaStream_t stream);

}  // namespace evtok::cuda
