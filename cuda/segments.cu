// Eight lanes take an event, because the contract has eight partial sums: lane l the values l, l + 8, ... in
// their order. Neighbouring events lie beside each other in memory, so a warp reads whole lines. top_mean
// looks for the next smaller value as often as the k largest differ: n k / 8 steps at most, for small k.
#include "segments.cuh"

#include "launch.cuh"

namespace evtok::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kLanes = 8;  // of an event
constexpr int kEvents = kThreads / kLanes;

template <class T> __device__ __forceinline__ T not_a_number() {
  return static_cast<T>(__builtin_nanf(""));
}
template <class T> __device__ __forceinline__ bool finite(T x) {
  return x - x == 0;
}

/// One event, as a lane of it sees it.
template <class T> struct Event {
  const T *values, *weights;
  const uint8_t* types;
  const T* of_types;
  int64_t n_types, n;
  unsigned mask;  // the lanes of the event

  // NaN stands for no weight.
  __device__ __forceinline__ T weight(int64_t i) const {
    if (types == nullptr) return weights == nullptr ? T{1} : weights[i];
    if (types[i] >= n_types) return not_a_number<T>();
    if (weights == nullptr) return of_types[types[i]];
    return weights[i] < 0 ? not_a_number<T>() : of_types[types[i]] * weights[i];
  }
};

enum class Outcome { valued, empty, invalid };

// ((p0 + p4) + (p2 + p6)) + ((p1 + p5) + (p3 + p7)), in every lane.
__device__ __forceinline__ double total(unsigned mask, double part) {
  part += __shfl_xor_sync(mask, part, 4, kLanes);
  part += __shfl_xor_sync(mask, part, 2, kLanes);
  return part + __shfl_xor_sync(mask, part, 1, kLanes);
}

template <class T>
__device__ __forceinline__ Outcome sum_or_mean(const Event<T>& event, int lane, bool mean, T& result) {
  double value = 0, weight = 0;
  int below_zero = 0;
#pragma unroll 4
  for (int64_t i = lane; i < event.n; i += kLanes) {
    const double w = static_cast<double>(event.weight(i));
    value = __builtin_fma(static_cast<double>(event.values[i]), w, value);
    weight += w;
    below_zero |= w >= 0 ? 0 : 1;
  }
  value = total(event.mask, value);
  weight = total(event.mask, weight);
  if (__any_sync(event.mask, below_zero) || !finite(value) || !finite(weight)) return Outcome::invalid;
  if (weight == 0) return Outcome::empty;
  result = static_cast<T>(mean ? value / weight : value);
  return finite(result) ? Outcome::valued : Outcome::invalid;
}

template <class T> __device__ __forceinline__ T largest(unsigned mask, T own) {
  for (int other = kLanes / 2; other > 0; other /= 2) {
    const T theirs = __shfl_xor_sync(mask, own, other, kLanes);
    own = theirs > own ? theirs : own;
  }
  return own;
}

template <class T>
__device__ __forceinline__ Outcome max_or_top(const Event<T>& event, int lane, const SegmentRule& rule,
                                              T& result) {
  const T infinity = static_cast<T>(__builtin_inff());
  T most = -infinity;
  int invalid = 0;
  for (int64_t i = lane; i < event.n; i += kLanes) {
    const T w = event.weight(i), u = event.values[i] * w;
    invalid |= w >= 0 && finite(u) ? 0 : 1;
    if (w != 0 && u > most) most = u;
  }
  if (__any_sync(event.mask, invalid)) return Outcome::invalid;
  most = largest(event.mask, most);
  if (most == -infinity) return Outcome::empty;
  if (rule.reduction == Reduction::max) {
    result = most + T{0};
    return Outcome::valued;
  }
  double sum = 0;
  int64_t taken = 0;
  while (taken < rule.k && most != -infinity) {
    T next = -infinity;  // the largest below
    int64_t equal = 0;
    for (int64_t i = lane; i < event.n; i += kLanes) {
      const T w = event.weight(i), u = event.values[i] * w;
      if (w == 0) continue;
      equal += u == most ? 1 : 0;
      if (u < most && u > next) next = u;
    }
    for (int other = kLanes / 2; other > 0; other /= 2)
      equal += __shfl_xor_sync(event.mask, equal, other, kLanes);
    for (; equal > 0 && taken < rule.k; --equal, ++taken) sum += static_cast<double>(most);
    most = largest(event.mask, next);
  }
  result = static_cast<T>(sum / static_cast<double>(taken));
  return finite(result) ? Outcome::valued : Outcome::invalid;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    reduce_kernel(Segments<T> events, int64_t n_events, TypeWeights<T> types, SegmentRule rule,
                  Status* statuses, T* out) {
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const unsigned mask = 0xFFU << (threadIdx.x % 32 / kLanes * kLanes);
  const int64_t step = static_cast<int64_t>(gridDim.x) * kEvents;
  for (int64_t e = static_cast<int64_t>(blockIdx.x) * kEvents + threadIdx.x / kLanes; e < n_events;
       e += step) {
    const int64_t start = events.offsets[e], stop = events.offsets[e + 1];
    if (start < 0 || stop < start || stop > events.n_values) {
      if (lane == 0) {
        out[e] = not_a_number<T>();
        report(&statuses[kBadOffsets], e);
      }
      continue;
    }
    const T* weights = events.weights == nullptr ? nullptr : events.weights + (start - events.weights_from);
    const Event<T> event{events.values + start,
                         weights,
                         types.types == nullptr ? nullptr : types.types + start,
                         types.weights,
                         types.n_types,
                         stop - start,
                         mask};
    const bool sums = rule.reduction == Reduction::sum || rule.reduction == Reduction::mean;
    T result{};
    const Outcome outcome = sums ? sum_or_mean(event, lane, rule.reduction == Reduction::mean, result)
                                 : max_or_top(event, lane, rule, result);
    if (outcome == Outcome::invalid && event.types != nullptr)
      for (int64_t i = lane; i < event.n; i += kLanes)
        if (event.types[i] >= event.n_types) report(&statuses[kUnknownType], start + i);
    if (lane != 0) continue;
    if (outcome == Outcome::empty) result = static_cast<T>(rule.empty);
    if (outcome == Outcome::invalid) {
      result = not_a_number<T>();
      report(&statuses[kInvalidEvent], e);
    }
    out[e] = result;
  }
}

}  // namespace

template <class T>
cudaError_t reduce_segments(const Segments<T>& events, int64_t n_events, const TypeWeights<T>& types,
                            const SegmentRule& rule, Status* statuses, T* out, cudaStream_t stream) {
  if (n_events <= 0) return cudaSuccess;
  return launch(reduce_kernel<T>, blocks_for(n_events, kEvents, 16), kThreads, 0, stream, events, n_events,
                types, rule, statuses, out);
}

template cudaError_t reduce_segments<float>(const Segments<float>&, int64_t, const TypeWeights<float>&,
                                            const SegmentRule&, Status*, float*, cudaStream_t);
template cudaError_t reduce_segments<double>(const Segments<double>&, int64_t, const TypeWeights<double>&,
                                             const SegmentRule&, Status*, double*, cudaStream_t);

}  // namespace evtok::cuda
