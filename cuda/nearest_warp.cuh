// The neighbours that a warp has found for a row, and the faults of a row that a warp reads.
#pragma once

#include "nearest_row.cuh"

namespace evtok::cuda {

inline constexpr unsigned kWarp = 0xFFFFFFFFU;
inline constexpr int kLanes = 32;

__device__ __forceinline__ int lane_of_thread() {
  return static_cast<int>(threadIdx.x) % kLanes;
}

/// One neighbour. Every lane has the same `worst`: what a code has to be before.
template <class T, bool kDot> struct WarpBest {
  T worst;
  int32_t worst_id;

  __device__ __forceinline__ void begin(int) {
    worst = farthest<T, kDot>();
    worst_id = kNoId;
  }
  /// Each lane brings a code, or kNoId.
  __device__ __forceinline__ void offer(T value, int32_t id) {
    const bool nearer = before<T, kDot>(value, id, worst, worst_id);
    if (__ballot_sync(kWarp, nearer) == 0) return;
    if (nearer) {
      worst = value;
      worst_id = id;
    }
    for (int other = kLanes / 2; other > 0; other /= 2) {
      const T theirs = __shfl_xor_sync(kWarp, worst, other);
      const int32_t their_id = __shfl_xor_sync(kWarp, worst_id, other);
      if (before<T, kDot>(theirs, their_id, worst, worst_id)) {
        worst = theirs;
        worst_id = their_id;
      }
    }
  }
  /// The neighbour of this lane's number.
  __device__ __forceinline__ T value() const { return worst; }
  __device__ __forceinline__ int32_t id() const { return worst_id; }
};

/// Up to 32 neighbours: lane i holds number i.
template <class T, bool kDot> struct WarpList {
  T own;
  int32_t own_id;
  T worst;
  int32_t worst_id;
  int length;

  __device__ __forceinline__ void begin(int n) {
    own = worst = farthest<T, kDot>();
    own_id = worst_id = kNoId;
    length = n;
  }
  __device__ __forceinline__ void offer(T value, int32_t id) {
    unsigned hits = __ballot_sync(kWarp, before<T, kDot>(value, id, worst, worst_id));
    while (hits != 0) {
      const int from = __ffs(static_cast<int>(hits)) - 1, lane = lane_of_thread();
      const T next = __shfl_sync(kWarp, value, from);
      const int32_t next_id = __shfl_sync(kWarp, id, from);
      const int place =
          __popc(__ballot_sync(kWarp, lane < length && before<T, kDot>(own, own_id, next, next_id)));
      const T above = __shfl_up_sync(kWarp, own, 1);
      const int32_t above_id = __shfl_up_sync(kWarp, own_id, 1);
      if (lane >= place) {
        own = lane == place ? next : above;
        own_id = lane == place ? next_id : above_id;
      }
      worst = __shfl_sync(kWarp, own, length - 1);
      worst_id = __shfl_sync(kWarp, own_id, length - 1);
      hits &= hits - 1;
      hits &= __ballot_sync(kWarp, before<T, kDot>(value, id, worst, worst_id));
    }
  }
  __device__ __forceinline__ T value() const { return own; }
  __device__ __forceinline__ int32_t id() const { return own_id; }
};

/// True where a product of the row with some code is not finite; all lanes take part.
template <class T>
__device__ __forceinline__ bool product_overflows(const T* x, const NearestCodes<T>& codes) {
  bool bad = false;
  for (int64_t k = lane_of_thread(); k < codes.n_codes; k += kLanes)
    bad |= !is_finite(chain_value<T, true>(x, codes.codes + k * codes.n_dims, codes.n_dims));
  return __any_sync(kWarp, bad) != 0;
}

/// Looks at a row, refuses it if it is to be, and says whether it is to be searched. All lanes take part, and
/// get the same answer.
template <class T>
__device__ __forceinline__ bool admit(const RowsView<T>& rows, int64_t row, const NearestCodes<T>& codes,
                                      const Neighbours<T>& out, Status* faults) {
  RowFault fault = RowFault::masked;
  if (rows.mask == nullptr || rows.mask[row] != 0) {
    const T* x = rows.x + row * codes.n_dims;
    bool finite = true;
    T largest = 0;
    for (int64_t j = lane_of_thread(); j < codes.n_dims; j += kLanes) {
      const T size = magnitude(x[j]);
      finite = finite && is_finite(size);
      largest = size > largest ? size : largest;
    }
    finite = __all_sync(kWarp, finite) != 0;
    if (codes.metric != Metric::l2)
      for (int other = kLanes / 2; other > 0; other /= 2) {
        const T theirs = __shfl_xor_sync(kWarp, largest, other);
        largest = theirs > largest ? theirs : largest;
      }
    bool suspicious;
    fault = fault_of(finite, largest, codes, &suspicious);
    if (suspicious && product_overflows(x, codes)) fault = RowFault::overflow;
  }
  if (fault == RowFault::none) return true;
  refuse(out, row, fault, faults, lane_of_thread(), kLanes);
  return false;
}

/// Writes neighbours [done, done + 32) of a row that was searched; `found` holds so many, or more by one for
/// the margin. The first of them tells whether all overflowed.
template <class T, class Found>
__device__ __forceinline__ bool write(const Found& found, int64_t row, int64_t done, int64_t n_codes,
                                      const Neighbours<T>& out, Status* faults) {
  const int lane = lane_of_thread();
  const T value = found.value();
  if (done == 0) {
    const T first = __shfl_sync(kWarp, value, 0), second = __shfl_sync(kWarp, value, 1);
    if (!is_finite(first)) {
      refuse(out, row, RowFault::overflow, faults, lane, kLanes);
      return false;
    }
    if (out.margin != nullptr && lane == 0)
      out.margin[row] = n_codes == 1 ? Limits<T>::infinity : magnitude(second - first);
  }
  const int64_t place = done + lane;
  if (place < out.k) {
    out.ids[row * out.k + place] = found.id();
    if (out.values != nullptr) out.values[row * out.k + place] = value;
  }
  return true;
}

/// Neighbours that have to be listed: the margin needs the second.
template <class T> EVTOK_FORMULA int64_t listed(const Neighbours<T>& out, int64_t n_codes) {
  const int64_t n = out.margin != nullptr && out.k < 2 ? 2 : out.k;
  return n < n_codes ? n : n_codes;
}

}  // namespace evtok::cuda
