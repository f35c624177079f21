// Boxes of codes: a warp takes a row and goes down a tree whose nodes have 32 children, one a lane, nearest
// child first, until the next one's lower bound is above what it has. The bound is exact (code_boxes.hpp), so
// a box with an equal bound is looked at too: it may hold a lower id.
//
// A warp works on one row, so that lanes never part: a row costs some 30 instructions for each node and 20
// for each leaf that it meets, about 200 for K = 8192 and D = 4 where rows lie near codes, against 2400 for
// all codes.
#include "launch.cuh"
#include "nearest_warp.cuh"

namespace evtok::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kLanes;

// Bounds are never negative, and such numbers are in the order of their bits.
__device__ __forceinline__ unsigned key_of(float bound) {
  return __float_as_uint(bound);
}
__device__ __forceinline__ unsigned long long key_of(double bound) {
  return static_cast<unsigned long long>(__double_as_longlong(bound));
}
__device__ __forceinline__ unsigned least_of_warp(unsigned key) {
  return __reduce_min_sync(kWarp, key);
}
__device__ __forceinline__ unsigned long long least_of_warp(unsigned long long key) {
  for (int other = kLanes / 2; other > 0; other /= 2) {
    const unsigned long long theirs = __shfl_xor_sync(kWarp, key, other);
    key = theirs < key ? theirs : key;
  }
  return key;
}

/// kDims coordinates in registers; for kDims = 0, n_dims of them where they lie.
template <class T, int kDims> struct Row {
  T values[kDims];
  __device__ __forceinline__ Row(const T* x, int) {
#pragma unroll
    for (int j = 0; j < kDims; ++j) values[j] = x[j];
  }
  __device__ __forceinline__ int n_dims() const { return kDims; }
  __device__ __forceinline__ T operator[](int j) const { return values[j]; }
};
template <class T> struct Row<T, 0> {
  const T* values;
  int n;
  __device__ __forceinline__ Row(const T* x, int n_dims) : values(x), n(n_dims) {}
  __device__ __forceinline__ int n_dims() const { return n; }
  __device__ __forceinline__ T operator[](int j) const { return values[j]; }
};

/// The lower bound of this lane's box among 32 (n_dims, 2, 32), as a key; all ones for one that is not there.
template <class T, class X>
__device__ __forceinline__ auto bound_key(const X& x, const T* boxes, bool there) {
  const T* box = boxes + lane_of_thread();
  T bound = 0;
#pragma unroll
  for (int j = 0; j < x.n_dims(); ++j) {
    const T below = box[2 * j * kLanes] - x[j], above = x[j] - box[(2 * j + 1) * kLanes];
    T gap = below > above ? below : above;
    gap = gap > 0 ? gap : T(0);
    bound = __builtin_fma(gap, gap, bound);
  }
  const auto key = key_of(bound);
  return there ? key : ~decltype(key){0};
}
template <class X> __device__ __forceinline__ unsigned bound_key(const X& x, const float* boxes, bool there) {
  const float* box = boxes + lane_of_thread();
  float bound = 0;
#pragma unroll
  for (int j = 0; j < x.n_dims(); ++j) {
    const float gap = fmaxf(fmaxf(box[2 * j * kLanes] - x[j], x[j] - box[(2 * j + 1) * kLanes]), 0.0F);
    bound = __builtin_fmaf(gap, gap, bound);
  }
  return there ? key_of(bound) : ~0U;
}

/// Takes the nearest of the lanes' children that may hold a neighbour: its number, or -1 where none is left.
template <class T, class Key> __device__ __forceinline__ int next_child(Key& key, T worst) {
  const Key least = least_of_warp(key);
  if (least > key_of(worst)) return -1;
  const int child = __ffs(static_cast<int>(__ballot_sync(kWarp, key == least))) - 1;
  if (lane_of_thread() == child) key = ~Key{0};
  return child;
}

template <class T, int kDims, class Found>
__global__ void __launch_bounds__(kThreads)
    boxes_kernel(RowsView<T> rows, NearestCodes<T> codes, NearestBoxes<T> boxes, Neighbours<T> out,
                 Status* faults) {
  const int lane = lane_of_thread(), warp = static_cast<int>(threadIdx.x) / kLanes;
  const int64_t n_dims = codes.n_dims, n_branches = (boxes.n_leaves + kLanes - 1) / kLanes;
  const int length = static_cast<int>(listed(out, codes.n_codes));
  const int64_t step = static_cast<int64_t>(gridDim.x) * kWarps;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + warp; row < rows.n; row += step) {
    if (!admit(rows, row, codes, out, faults)) continue;
    const Row<T, kDims> x(rows.x + row * n_dims, static_cast<int>(n_dims));
    Found found;
    found.begin(length);
    for (int64_t top = 0; top < n_branches; top += kLanes) {
      auto branch_key = bound_key(x, boxes.branches + top * n_dims * 2, top + lane < n_branches);
      for (;;) {
        const int child = next_child(branch_key, found.worst);
        if (child < 0) break;
        const int64_t first_leaf = (top + child) * kLanes;
        auto leaf_key =
            bound_key(x, boxes.leaves + first_leaf * n_dims * 2, first_leaf + lane < boxes.n_leaves);
        for (;;) {
          const int leaf_child = next_child(leaf_key, found.worst);
          if (leaf_child < 0) break;
          const int64_t leaf = first_leaf + leaf_child;
          const T* code = boxes.codes + leaf * n_dims * kLanes + lane;
          const int32_t id = boxes.ids[leaf * kLanes + lane];
          T s = 0;
#pragma unroll
          for (int j = 0; j < x.n_dims(); ++j) s = chain_step<T, false>(x[j], code[j * kLanes], s);
          found.offer(s, id);
        }
      }
    }
    write(found, row, 0, codes.n_codes, out, faults);
  }
}

template <class T, int kDims>
cudaError_t run(const RowsView<T>& rows, const NearestCodes<T>& codes, const NearestBoxes<T>& boxes,
                const Neighbours<T>& out, Status* faults, cudaStream_t stream) {
  const auto kernel = listed(out, codes.n_codes) == 1 ? boxes_kernel<T, kDims, WarpBest<T, false>>
                                                      : boxes_kernel<T, kDims, WarpList<T, false>>;
  return launch(kernel, blocks_for(rows.n, kWarps), kThreads, 0, stream, rows, codes, boxes, out, faults);
}

}  // namespace

template <>
cudaError_t nearest_boxes<float>(const RowsView<float>& rows, const NearestCodes<float>& codes,
                                 const NearestBoxes<float>& boxes, const Neighbours<float>& out,
                                 Status* faults, cudaStream_t stream) {
  constexpr decltype(&run<float, 0>) kOfDims[] = {run<float, 0>, run<float, 0>, run<float, 2>,
                                                  run<float, 3>, run<float, 4>, run<float, 5>,
                                                  run<float, 6>, run<float, 0>, run<float, 8>};
  return kOfDims[codes.n_dims <= kBoxDims ? codes.n_dims : 0](rows, codes, boxes, out, faults, stream);
}

template <>
cudaError_t nearest_boxes<double>(const RowsView<double>& rows, const NearestCodes<double>& codes,
                                  const NearestBoxes<double>& boxes, const Neighbours<double>& out,
                                  Status* faults, cudaStream_t stream) {
  return run<double, 0>(rows, codes, boxes, out, faults, stream);
}

}  // namespace evtok::cuda
