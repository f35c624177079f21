// Two kernels. The general one takes every feature, a row a thread, by the specification.
//
// The fast one is for features that are float32 columns, after types or without, combined into one id: 4 rows
// a thread, loads of 16 bytes, all issued before the first is used; a digit costs one look into a table in
// shared memory (bin_buckets.hpp) and a comparison. Estimated from its PTX: 15 instructions a feature and
// object by scaling, 18 by bits, so three features and a type take some 60, where 17 bytes at the rate of an
// H200's memory leave time for 140. A look takes 8 bytes at a random place of 2 to 16 KiB, 5 to 6 passes of
// the banks a warp. What the table cannot decide, and what is flagged, is left to the specification.
#include "row_ids.cuh"

#include "row_contribution.cuh"

namespace evtok::cuda {
namespace {

constexpr int kThreads = 256;

struct TileEvents {
  int64_t first, last;  // of the first and the last row of a tile
};

// The event of a row among first..last: the last one that begins at or before it.
__device__ int64_t event_of(int64_t row, const int64_t* offsets, int64_t first, int64_t last) {
  while (first < last) {
    const int64_t middle = last - (last - first) / 2;
    if (offsets[middle] <= row)
      first = middle;
    else
      last = middle - 1;
  }
  return first;
}

template <class Out>
__global__ void __launch_bounds__(kThreads) any_rows(const __grid_constant__ RowIds rows, int64_t n_rows,
                                                     bool with_events, Out* out, Status* statuses) {
  TileEvents* tile = dynamic_shared<TileEvents>();
  RowCounts counts;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t begin = static_cast<int64_t>(blockIdx.x) * kThreads; begin < n_rows; begin += step) {
    const int64_t row = begin + threadIdx.x;
    int64_t event = 0;
    if (with_events) {
      const int64_t end = begin + kThreads < n_rows ? begin + kThreads : n_rows;
      __syncthreads();  // the tile before has been read
      if (threadIdx.x == 0) tile->first = event_of(begin, rows.offsets, 0, rows.n_events - 1);
      if (threadIdx.x == 32) tile->last = event_of(end - 1, rows.offsets, 0, rows.n_events - 1);
      __syncthreads();
      if (row < n_rows) event = event_of(row, rows.offsets, tile->first, tile->last);
    }
    if (row >= n_rows) continue;
    if (rows.factorised)
      factorised_ids(rows, rows.type_contribution, row, event, out + row * rows.n_features, counts);
    else
      out[row] = static_cast<Out>(combined_id(rows, rows.type_contribution, row, event, counts));
  }
  add_counts(counts, statuses);
}

// ---- the fast kernel

constexpr int kFastThreads = 512;
constexpr int kRows = 4;  // of a thread
constexpr int kMostFast = 4;

template <class Out> struct alignas(kRows * sizeof(Out)) Ids {
  Out of[kRows];
};

// Out of line: it is rare, and the loop keeps its registers.
__device__ EVTOK_OUT_OF_LINE int32_t by_specification(const RowIds& rows, int64_t row, RowCounts& counts) {
  return combined_id(rows, rows.type_contribution, row, 0, counts);
}

template <class Out, int n_columns, bool with_types>
__global__ void __launch_bounds__(kFastThreads, 2)
    plain_rows(const __grid_constant__ RowIds rows, int64_t n_rows, Out* out, Status* statuses) {
  constexpr int kFirst = with_types ? 1 : 0;
  int32_t* type_contribution = dynamic_shared<int32_t>();
  Bucket* tables = reinterpret_cast<Bucket*>(type_contribution + (with_types ? 256 : 0));
  const Bucket* table[n_columns];
  if (with_types)
    for (int i = static_cast<int>(threadIdx.x); i < 256; i += kFastThreads)
      type_contribution[i] = rows.type_contribution[i];
  int32_t used = 0;
#pragma unroll
  for (int k = 0; k < n_columns; ++k) {
    const RowFeature& f = rows.features[kFirst + k];
    table[k] = tables + used;
    for (int i = static_cast<int>(threadIdx.x); i < f.buckets.n; i += kFastThreads)
      tables[used + i] = f.table[i];
    used += f.buckets.n;
  }
  __syncthreads();

  RowCounts counts;
  const int64_t quads = n_rows / kRows, step = static_cast<int64_t>(gridDim.x) * kFastThreads;
  const int64_t own = static_cast<int64_t>(blockIdx.x) * kFastThreads + threadIdx.x;
  for (int64_t quad = own; quad < quads; quad += step) {
    float4 x[n_columns];
    uchar4 types{};
#pragma unroll
    for (int k = 0; k < n_columns; ++k)
      x[k] = __ldcs(reinterpret_cast<const float4*>(rows.features[kFirst + k].float32) + quad);
    if (with_types) types = __ldcs(reinterpret_cast<const uchar4*>(rows.features[0].types) + quad);

    bool left[kRows] = {};     // to the specification
    uint32_t sum[kRows] = {};  // means nothing where a row is left
    if (with_types) {
      const unsigned char code[kRows] = {types.x, types.y, types.z, types.w};
#pragma unroll
      for (int j = 0; j < kRows; ++j) {
        sum[j] = static_cast<uint32_t>(type_contribution[code[j]]);
        left[j] = sum[j] == static_cast<uint32_t>(kUnknown);
      }
    }
#pragma unroll
    for (int k = 0; k < n_columns; ++k) {
      const RowFeature& f = rows.features[kFirst + k];
      const float value[kRows] = {x[k].x, x[k].y, x[k].z, x[k].w};
      const float lowest = static_cast<float>(f.lowest), highest = static_cast<float>(f.highest);
      int32_t place[kRows];
      if (f.buckets.by_bits != 0) {  // one branch for all rows
#pragma unroll
        for (int j = 0; j < kRows; ++j) place[j] = bucket_by_bits(value[j], f.buckets);
      } else {
#pragma unroll
        for (int j = 0; j < kRows; ++j) place[j] = bucket_by_scale(value[j], f.buckets);
      }
#pragma unroll
      for (int j = 0; j < kRows; ++j) {
        const Bucket bucket = table[k][place[j]];
        const uint32_t digit = value[j] >= bucket.edge ? bucket.digits >> 16 : bucket.digits & 0xFFFF;
        const bool valid = lowest <= value[j] && value[j] <= highest;
        left[j] = left[j] || !valid || digit == kNoDigit;
        sum[j] += digit * static_cast<uint32_t>(f.stride);
      }
    }
    Ids<Out> ids;
#pragma unroll
    for (int j = 0; j < kRows; ++j) {
      int32_t rank = static_cast<int32_t>(sum[j]);
      if (rows.ranks != nullptr && !left[j]) {
        rank = rows.ranks[rank];
        left[j] = rank < 0;
      }
      ids.of[j] =
          static_cast<Out>(left[j] ? by_specification(rows, quad * kRows + j, counts) : rows.base + rank);
    }
    reinterpret_cast<Ids<Out>*>(out)[quad] = ids;
  }
  if (own < n_rows % kRows) {
    const int64_t row = quads * kRows + own;
    out[row] = static_cast<Out>(by_specification(rows, row, counts));
  }
  add_counts(counts, statuses);
}

bool aligned(const void* p, size_t bytes) {
  return reinterpret_cast<uintptr_t>(p) % bytes == 0;
}

// Bytes of the tables, or -1 where the fast kernel does not apply.
template <class Out> int64_t fast_bytes(const RowIds& rows, const Out* out) {
  const int32_t types = rows.n_features > 0 && rows.features[0].types != nullptr ? 1 : 0;
  const int32_t columns = rows.n_features - types;
  if (rows.factorised || rows.seen != nullptr || columns < 1 || columns > kMostFast) return -1;
  if (!aligned(out, kRows * sizeof(Out)) || (types && !aligned(rows.features[0].types, kRows))) return -1;
  int64_t bytes = types * 256 * static_cast<int64_t>(sizeof(int32_t));
  for (int32_t k = types; k < rows.n_features; ++k) {
    const RowFeature& f = rows.features[k];
    if (f.float32 == nullptr || f.relative || f.table == nullptr || !aligned(f.float32, 16)) return -1;
    bytes += f.buckets.n * static_cast<int64_t>(sizeof(Bucket));
  }
  return bytes <= 96 * 1024 ? bytes : -1;
}

template <class Out, bool with_types> auto* plain_rows_for(int32_t columns) {
  return columns == 1   ? plain_rows<Out, 1, with_types>
         : columns == 2 ? plain_rows<Out, 2, with_types>
         : columns == 3 ? plain_rows<Out, 3, with_types>
                        : plain_rows<Out, 4, with_types>;
}

}  // namespace

template <class Out>
cudaError_t row_ids(const RowIds& rows, int64_t n_rows, Out* out, Status* statuses, cudaStream_t stream) {
  if (n_rows <= 0) return cudaSuccess;
  const int64_t bytes = fast_bytes(rows, out);
  if (bytes >= 0) {
    const bool types = rows.features[0].types != nullptr;
    auto* kernel =
        types ? plain_rows_for<Out, true>(rows.n_features - 1) : plain_rows_for<Out, false>(rows.n_features);
    return launch(kernel, blocks_for(n_rows, kFastThreads * kRows), kFastThreads, static_cast<size_t>(bytes),
                  stream, rows, n_rows, out, statuses);
  }
  bool with_events = false;
  for (int32_t k = 0; k < rows.n_features; ++k)
    with_events = with_events || rows.features[k].reference != nullptr;
  return launch(any_rows<Out>, blocks_for(n_rows, kThreads), kThreads, sizeof(TileEvents), stream, rows,
                n_rows, with_events, out, statuses);
}

template cudaError_t row_ids<int32_t>(const RowIds&, int64_t, int32_t*, Status*, cudaStream_t);
template cudaError_t row_ids<uint16_t>(const RowIds&, int64_t, uint16_t*, Status*, cudaStream_t);

}  // namespace evtok::cuda
