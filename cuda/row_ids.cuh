// Columns to token ids on the GPU: row_ids.hpp of the CPU, id by id.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "bin_buckets.hpp"
#include "status.cuh"

namespace evtok::cuda {

inline constexpr int32_t kMostFeatures = 24;

/// Feature of row_ids.hpp with all its numbers; every pointer is to memory of the device, borrowed.
struct RowFeature {
  // Exactly one of the four is set; each is (n_rows,) contiguous.
  const float* float32;
  const double* float64;
  const uint8_t* types;
  const int32_t* digits;

  const void* edges;  // (n_edges,) increasing: float64 where the value is derived or float64, else float32
  const double* reference;  // (n_events,), or null
  const Bucket* table;      // (buckets.n,), or null
  BinBuckets buckets;
  double lowest, highest;
  int32_t n_edges, first, last, origin, stride, base, n_digits;
  bool right, outside_unknown, zero_is_digit_zero, relative, wrap;
};

/// RowIds of row_ids.hpp. It travels to the kernel as an argument.
struct RowIds {
  RowFeature features[kMostFeatures];
  int32_t n_features;
  bool factorised;
  int32_t base, unknown;
  const int32_t* ranks;    // (n_keys,), or null
  const int32_t* seen;     // (n_seen,), or null
  const int64_t* offsets;  // (n_events + 1,): where features have a reference
  int64_t n_seen, n_events;
  int32_t type_contribution[256];  // of the one feature that is of types

  int64_t width() const { return factorised ? n_features : 1; }
};

/// Writes the ids of n_rows rows to out (n_rows * width(),), row-major, and counts invalid rows in
/// statuses[0] and unknown ids in statuses[1]; both are fresh. Out is int32_t or uint16_t.
template <class Out>
cudaError_t row_ids(const RowIds& rows, int64_t n_rows, Out* out, Status* statuses, cudaStream_t stream);
extern template cudaError_t row_ids<int32_t>(const RowIds&, int64_t, int32_t*, Status*, cudaStream_t);
extern template cudaError_t row_ids<uint16_t>(const RowIds&, int64_t, uint16_t*, Status*, cudaStream_t);

}  // namespace evtok::cuda
