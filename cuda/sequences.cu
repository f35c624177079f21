// A group of 8 or 32 threads writes an event, by its mean number of objects. The place of an object by
// falling value is how many come before it, which each thread counts for its own: quick for the events there
// are. Events above kLongEvent are merged by a block each.
#include "sequences.cuh"

#include "launch.cuh"

namespace evtok::cuda {
namespace {

constexpr int kThreads = 256;

template <class Out> struct Objects {
  const Out* ids;
  const int64_t* offsets;
  const int64_t* out_offsets;
  int64_t n_events, width;
};

// The order of tokenize.cpp: falling, NaN last.
template <class T> __device__ __forceinline__ bool comes_before(T a, T b) {
  return a == a && (b != b || a > b);
}

template <class Out>
__device__ __forceinline__ void put_object(const Objects<Out>& o, int64_t object, Out* place) {
  for (int64_t k = 0; k < o.width; ++k) place[k] = o.ids[object * o.width + k];
}

// What is around the objects, and the objects themselves unless the event is left to long_events.
template <class Out, class T, int group>
__global__ void __launch_bounds__(kThreads)
    short_events(const Objects<Out> o, const __grid_constant__ SequencePlan plan, const T* values, Out* out) {
  const int64_t lane = threadIdx.x % group;
  const int64_t step = static_cast<int64_t>(gridDim.x) * (kThreads / group);
  for (int64_t event = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / group;
       event < o.n_events; event += step) {
    const int64_t from = o.offsets[event], n = o.offsets[event + 1] - from;
    const int64_t kept = n < plan.max_objects ? n : plan.max_objects;
    Out* place = out + o.out_offsets[event];
    Out* objects = place + plan.n_before;
    for (int64_t k = lane; k < plan.n_before + plan.n_after; k += group) {
      const EventToken& token = plan.around[k];
      place[k < plan.n_before ? k : k + kept * o.width] =
          static_cast<Out>(token.ids != nullptr ? token.ids[event] : token.id);
    }
    if (values == nullptr) {
      for (int64_t k = lane; k < kept * o.width; k += group) objects[k] = o.ids[from * o.width + k];
    } else if (n <= kLongEvent) {
      for (int64_t own = lane; own < n; own += group) {
        const T value = values[from + own];
        int64_t rank = 0;
        for (int64_t k = 0; k < own; ++k) rank += !comes_before(value, values[from + k]);
        for (int64_t k = own + 1; k < n; ++k) rank += comes_before(values[from + k], value);
        if (rank < kept) put_object(o, from + own, objects + rank * o.width);
      }
    }
  }
}

// A block an event: runs of 1, 2, 4 ... objects are merged in pairs. An object of the left run lies behind
// those of the right one that come before it, one of the right run behind those of the left one that it does
// not come before: equal objects stay as they were found.
template <class Out, class T>
__global__ void __launch_bounds__(kThreads)
    long_events(const Objects<Out> o, int64_t max_objects, int32_t n_before, const T* values,
                int64_t n_objects, int32_t* order, Out* out) {
  for (int64_t event = blockIdx.x; event < o.n_events; event += gridDim.x) {
    const int64_t from = o.offsets[event], n = o.offsets[event + 1] - from;
    if (n <= kLongEvent) continue;
    const int64_t kept = n < max_objects ? n : max_objects;
    const T* value = values + from;
    int32_t *runs = order + from, *merged = order + n_objects + from;
    for (int64_t i = threadIdx.x; i < n; i += kThreads) runs[i] = static_cast<int32_t>(i);
    __syncthreads();
    for (int64_t length = 1; length < n; length *= 2) {
      for (int64_t i = threadIdx.x; i < n; i += kThreads) {
        const int64_t run = i / length, pair = (run & ~int64_t{1}) * length;
        const bool left = (run & 1) == 0;
        const int64_t other = left ? pair + length : pair;
        int64_t low = other < n ? other : n, high = other + length < n ? other + length : n;
        const int64_t begin = low;
        const T own = value[runs[i]];
        while (low < high) {
          const int64_t middle = low + (high - low) / 2;
          const T its = value[runs[middle]];
          if (left ? comes_before(its, own) : !comes_before(own, its))
            low = middle + 1;
          else
            high = middle;
        }
        merged[pair + (i - run * length) + (low - begin)] = runs[i];
      }
      __syncthreads();
      int32_t* const read = runs;
      runs = merged;
      merged = read;
    }
    Out* objects = out + o.out_offsets[event] + n_before;
    for (int64_t rank = threadIdx.x; rank < kept; rank += kThreads)
      put_object(o, from + runs[rank], objects + rank * o.width);
    __syncthreads();
  }
}

template <class Out, class T>
cudaError_t laid_out(const Objects<Out>& o, const SequencePlan& plan, const T* values, int64_t n_objects,
                     int64_t longest, int32_t* order, Out* out, cudaStream_t stream) {
  const int group = n_objects > 16 * o.n_events ? 32 : 8;
  const auto kernel = group == 32 ? short_events<Out, T, 32> : short_events<Out, T, 8>;
  const cudaError_t error =
      launch(kernel, blocks_for(o.n_events, kThreads / group, 16), kThreads, 0, stream, o, plan, values, out);
  if (error != cudaSuccess || values == nullptr || longest <= kLongEvent) return error;
  return launch(long_events<Out, T>, blocks_for(o.n_events, 1), kThreads, 0, stream, o, plan.max_objects,
                plan.n_before, values, n_objects, order, out);
}

}  // namespace

template <class Out>
cudaError_t sequences(const Out* ids, const int64_t* offsets, int64_t n_events, int64_t n_objects,
                      int64_t width, int64_t longest, const SequencePlan& plan, const int64_t* out_offsets,
                      int32_t* order, Out* out, cudaStream_t stream) {
  if (n_events == 0) return cudaSuccess;
  const Objects<Out> o{ids, offsets, out_offsets, n_events, width};
  return plan.sort64 != nullptr ? laid_out(o, plan, plan.sort64, n_objects, longest, order, out, stream)
                                : laid_out(o, plan, plan.sort32, n_objects, longest, order, out, stream);
}

template cudaError_t sequences<int32_t>(const int32_t*, const int64_t*, int64_t, int64_t, int64_t, int64_t,
                                        const SequencePlan&, const int64_t*, int32_t*, int32_t*,
                                        cudaStream_t);
template cudaError_t sequences<uint16_t>(const uint16_t*, const int64_t*, int64_t, int64_t, int64_t, int64_t,
                                         const SequencePlan&, const int64_t*, int32_t*, uint16_t*,
                                         cudaStream_t);

}  // namespace evtok::cuda
