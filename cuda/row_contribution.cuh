// One row of RowIds by the specification: what both kernels of row_ids.cu do, or leave to it.
#pragma once

#include "evtok/angles.hpp"
#include "launch.cuh"
#include "row_ids.cuh"

namespace evtok::cuda {

/// What a thread has met; added to the statuses at its end.
struct RowCounts {
  unsigned invalid = 0, unknown = 0;
  int64_t first_invalid = INT64_MAX, first_unknown = INT64_MAX;
};

template <class T> __device__ __forceinline__ BinTable<T> bin_table(const RowFeature& f) {
  BinTable<T> t{};
  t.edges = static_cast<const T*>(f.edges);
  t.n_edges = f.n_edges;
  t.right = f.right;
  t.check = true;
  t.lowest = static_cast<T>(f.lowest);
  t.highest = static_cast<T>(f.highest);
  t.first = f.first;
  t.last = f.last;
  t.outside_unknown = f.outside_unknown;
  t.origin = f.origin;
  t.stride = f.stride;
  return t;
}

/// `event` is that of the row where a feature has a reference; type_contribution (256,).
__device__ __forceinline__ int32_t row_contribution(const RowFeature& f, const int32_t* type_contribution,
                                                    int64_t row, int64_t event) {
  if (f.types != nullptr) return type_contribution[f.types[row]];
  if (f.digits != nullptr) {
    const int32_t digit = f.digits[row];
    if (digit < 0) return kInvalid;
    return digit < f.n_digits ? digit : kUnknown;
  }
  if (f.relative) {
    double value = f.float32 != nullptr ? static_cast<double>(f.float32[row]) : f.float64[row];
    if (f.reference != nullptr) value -= f.reference[event];
    if (f.wrap) value = wrap_angle(value);
    return bin_contribution(value, bin_table<double>(f));
  }
  if (f.float32 != nullptr) {
    const float value = f.float32[row];
    if (f.zero_is_digit_zero && value == 0) return 0;
    return bin_contribution(value, bin_table<float>(f));
  }
  const double value = f.float64[row];
  if (f.zero_is_digit_zero && value == 0) return 0;
  return bin_contribution(value, bin_table<double>(f));
}

/// RowIds::finish of row_ids.cpp.
__device__ __forceinline__ int32_t finished_id(const RowIds& rows, int32_t accumulator, int32_t feature_base,
                                               int64_t row, RowCounts& counts, bool& row_invalid) {
  if (accumulator < 0) {
    row_invalid = true;
    return -1;
  }
  int32_t rank = accumulator;
  bool is_unknown = (accumulator & kUnknown) != 0;
  if (!is_unknown && rows.ranks != nullptr) {
    rank = rows.ranks[accumulator];
    is_unknown = rank < 0;
  } else if (!is_unknown && rows.seen != nullptr) {
    const int32_t place = bin_of(accumulator, rows.seen, static_cast<int32_t>(rows.n_seen), true);
    is_unknown = place == rows.n_seen || rows.seen[place] != accumulator;
    rank = place;
  }
  if (!is_unknown) return feature_base + rank;
  if (rows.unknown == -1) {
    row_invalid = true;
    return -1;
  }
  ++counts.unknown;
  counts.first_unknown = row < counts.first_unknown ? row : counts.first_unknown;
  return rows.unknown;
}

__device__ __forceinline__ void count_invalid(int64_t row, RowCounts& counts) {
  ++counts.invalid;
  counts.first_invalid = row < counts.first_invalid ? row : counts.first_invalid;
}

/// The id of a row whose digits are combined.
__device__ __forceinline__ int32_t combined_id(const RowIds& rows, const int32_t* type_contribution,
                                               int64_t row, int64_t event, RowCounts& counts) {
  int32_t accumulator = 0;
  for (int32_t k = 0; k < rows.n_features; ++k)
    accumulator =
        add_contribution(accumulator, row_contribution(rows.features[k], type_contribution, row, event));
  bool invalid = false;
  const int32_t id = finished_id(rows, accumulator, rows.base, row, counts, invalid);
  if (invalid) count_invalid(row, counts);
  return id;
}

/// The ids (n_features,) of a row whose digits stay apart.
template <class Out>
__device__ __forceinline__ void factorised_ids(const RowIds& rows, const int32_t* type_contribution,
                                               int64_t row, int64_t event, Out* out, RowCounts& counts) {
  bool invalid = false;
  for (int32_t k = 0; k < rows.n_features; ++k) {
    const RowFeature& f = rows.features[k];
    const int32_t own = row_contribution(f, type_contribution, row, event);
    out[k] = static_cast<Out>(finished_id(rows, own, f.base, row, counts, invalid));
  }
  if (!invalid) return;
  count_invalid(row, counts);
  for (int32_t k = 0; k < rows.n_features; ++k) out[k] = static_cast<Out>(-1);
}

/// Called by all threads of a warp at once, when they are done.
__device__ __forceinline__ void add_counts(const RowCounts& counts, Status* statuses) {
  constexpr unsigned kAll = 0xFFFFFFFFu;
  if (__any_sync(kAll, (counts.invalid | counts.unknown) != 0) == 0) return;
  unsigned long long n[2] = {counts.invalid, counts.unknown};
  unsigned long long first[2] = {static_cast<unsigned long long>(counts.first_invalid),
                                 static_cast<unsigned long long>(counts.first_unknown)};
  for (int i = 0; i < 2; ++i) {
    for (int by = 16; by > 0; by /= 2) {
      n[i] += __shfl_xor_sync(kAll, n[i], by);
      const unsigned long long other = __shfl_xor_sync(kAll, first[i], by);
      first[i] = other < first[i] ? other : first[i];
    }
    if (threadIdx.x % 32 == 0 && n[i] != 0) {
      atomicAdd(&statuses[i].count, n[i]);
      atomicMin(&statuses[i].first, first[i]);
    }
  }
}

}  // namespace evtok::cuda
