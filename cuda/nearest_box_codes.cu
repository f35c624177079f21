// Leaves and branches of a codebook, whose order the host has found.
#include "launch.cuh"
#include "nearest_warp.cuh"

namespace evtok::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kLanes;

/// The smallest box around the values of the lanes that have one, written by lane 0 at `place` of 32 boxes
/// (2, 32) of one dimension; infinity where the warp has none.
template <class T>
__device__ __forceinline__ void write_box(T lo, T hi, bool there, bool any, T* boxes, int64_t place) {
  if (any) {
    lo = there ? lo : Limits<T>::infinity;
    hi = there ? hi : -Limits<T>::infinity;
    for (int other = kLanes / 2; other > 0; other /= 2) {
      const T their_lo = __shfl_xor_sync(kWarp, lo, other), their_hi = __shfl_xor_sync(kWarp, hi, other);
      lo = their_lo < lo ? their_lo : lo;
      hi = their_hi > hi ? their_hi : hi;
    }
  }
  if (lane_of_thread() != 0) return;
  boxes[place] = any ? lo : Limits<T>::infinity;
  boxes[place + kLanes] = any ? hi : Limits<T>::infinity;
}

__device__ __forceinline__ int64_t place_of(int64_t box, int64_t n_dims, int64_t j) {
  return (box / kLanes * n_dims + j) * 2 * kLanes + box % kLanes;
}

/// A warp for each leaf, those included that fill up the last branch.
template <class T>
__global__ void __launch_bounds__(kThreads)
    leaves_kernel(const T* codes, int64_t n_codes, int64_t n_dims, const int32_t* order, int64_t n_leaves,
                  T* leaves, T* ordered, int32_t* ids) {
  const int64_t places = (n_leaves + kLanes - 1) / kLanes * kLanes;
  for (int64_t leaf = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kLanes; leaf < places;
       leaf += static_cast<int64_t>(gridDim.x) * kWarps) {
    const int64_t place = leaf * kLanes + lane_of_thread();
    const bool there = place < n_codes;
    const int32_t id = there ? order[place] : kNoId;
    if (leaf < n_leaves) ids[place] = id;
    for (int64_t j = 0; j < n_dims; ++j) {
      const T value = there ? codes[id * n_dims + j] : Limits<T>::infinity;
      if (leaf < n_leaves) ordered[(leaf * n_dims + j) * kLanes + lane_of_thread()] = value;
      write_box(value, value, there, leaf < n_leaves, leaves, place_of(leaf, n_dims, j));
    }
  }
}

/// A warp for each branch, those included that fill up the last 32.
template <class T>
__global__ void __launch_bounds__(kThreads)
    branches_kernel(const T* leaves, int64_t n_leaves, int64_t n_dims, T* branches) {
  const int64_t n_branches = (n_leaves + kLanes - 1) / kLanes,
                places = (n_branches + kLanes - 1) / kLanes * kLanes;
  for (int64_t branch = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kLanes; branch < places;
       branch += static_cast<int64_t>(gridDim.x) * kWarps) {
    const int64_t leaf = branch * kLanes + lane_of_thread();
    for (int64_t j = 0; j < n_dims; ++j) {
      const bool there = leaf < n_leaves;
      const T* box = leaves + place_of(leaf, n_dims, j);
      write_box(there ? box[0] : T(0), there ? box[kLanes] : T(0), there, branch < n_branches, branches,
                place_of(branch, n_dims, j));
    }
  }
}

}  // namespace

template <class T>
cudaError_t prepare_boxes(const T* codes, int64_t n_codes, int64_t n_dims, const int32_t* order, T* branches,
                          T* leaves, T* ordered, int32_t* ids, cudaStream_t stream) {
  const BoxSizes sizes(n_codes, n_dims);
  const cudaError_t error =
      launch(leaves_kernel<T>, blocks_for(sizes.n_leaves + kLanes, kWarps), kThreads, 0, stream, codes,
             n_codes, n_dims, order, sizes.n_leaves, leaves, ordered, ids);
  if (error != cudaSuccess) return error;
  return launch(branches_kernel<T>, blocks_for(sizes.n_leaves / kLanes + kLanes, kWarps), kThreads, 0, stream,
                leaves, sizes.n_leaves, n_dims, branches);
}

template cudaError_t prepare_boxes<float>(const float*, int64_t, int64_t, const int32_t*, float*, float*,
                                          float*, int32_t*, cudaStream_t);
template cudaError_t prepare_boxes<double>(const double*, int64_t, int64_t, const int32_t*, double*, double*,
                                           double*, int32_t*, cudaStream_t);

}  // namespace evtok::cuda
