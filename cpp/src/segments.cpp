// Reductions over events: the scalar kernel, the choice of kernel, and the weights of types.
#include "evtok/segments.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <mutex>
#include <type_traits>
#include <vector>

#include "evtok/isa.hpp"
#include "evtok/parallel.hpp"

namespace evtok {
namespace {

constexpr int64_t kGrain = 32768;        // objects and events of a chunk: worth handing to a thread
constexpr int64_t kTypedObjects = 2048;  // their weights stay in L1
constexpr int64_t kReadBeyond = 16;      // values of the events after them may be read
constexpr int kSums = 8;

enum class Outcome { valued, empty, invalid };

template <class T> struct Event {
  const T *values, *weights;
  int64_t n;

  T weight(int64_t i) const { return weights == nullptr ? T{1} : weights[i]; }
};

template <class T> bool finite(T x) {
  return x - x == 0;
}

double total(const double (&p)[kSums]) {
  return ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]));
}

template <class T> Outcome sum_or_mean(const Event<T>& event, bool mean, T& result) {
  double values[kSums] = {}, weights[kSums] = {};
  bool below_zero = false;
  for (int64_t i = 0; i < event.n; ++i) {
    const double w = static_cast<double>(event.weight(i));
    double& part = values[i % kSums];
    part = std::fma(static_cast<double>(event.values[i]), w, part);
    weights[i % kSums] += w;
    below_zero |= !(w >= 0);
  }
  const double sum = total(values), weight = total(weights);
  if (below_zero || !finite(sum) || !finite(weight)) return Outcome::invalid;
  if (weight == 0) return Outcome::empty;
  result = static_cast<T>(mean ? sum / weight : sum);
  return finite(result) ? Outcome::valued : Outcome::invalid;
}

// u (n,) is memory to work in.
template <class T>
Outcome max_or_top(const Event<T>& event, const SegmentRule& rule, std::vector<T>& u, T& result) {
  u.clear();
  for (int64_t i = 0; i < event.n; ++i) {
    const T w = event.weight(i), product = event.values[i] * w;
    if (!(w >= 0) || !finite(product)) return Outcome::invalid;
    if (w != 0) u.push_back(product);
  }
  if (u.empty()) return Outcome::empty;
  if (rule.reduction == Reduction::max) {
    result = *std::max_element(u.begin(), u.end()) + T{0};
    return Outcome::valued;
  }
  const int64_t k = std::min(rule.k, static_cast<int64_t>(u.size()));
  std::partial_sort(u.begin(), u.begin() + k, u.end(), std::greater<T>{});
  double sum = 0;
  for (int64_t r = 0; r < k; ++r) sum += static_cast<double>(u[static_cast<size_t>(r)]);
  result = static_cast<T>(sum / static_cast<double>(k));
  return finite(result) ? Outcome::valued : Outcome::invalid;
}

template <class T>
int64_t reduce_scalar(const Segments<T>& events, const SegmentRule& rule, int64_t begin, int64_t end,
                      T* out) {
  const bool sums = rule.reduction == Reduction::sum || rule.reduction == Reduction::mean;
  std::vector<T> u;
  int64_t invalid = 0;
  for (int64_t e = begin; e < end; ++e) {
    const int64_t start = events.offsets[e];
    const T* weights = events.weights == nullptr ? nullptr : events.weights + (start - events.weights_from);
    const Event<T> event{events.values + start, weights, events.offsets[e + 1] - start};
    T result{};
    const Outcome outcome = sums ? sum_or_mean(event, rule.reduction == Reduction::mean, result)
                                 : max_or_top(event, rule, u, result);
    if (outcome == Outcome::empty) result = static_cast<T>(rule.empty);
    if (outcome == Outcome::invalid) result = std::numeric_limits<T>::quiet_NaN();
    invalid += outcome == Outcome::invalid ? 1 : 0;
    out[e] = result;
  }
  return invalid;
}

template <class T> ReduceSegments<T> kernel_for(const SegmentRule& rule) {
#ifdef EVTOK_X86
  const bool vectors = std::is_same_v<T, float> || rule.reduction != Reduction::top_mean;
  if (active_isa() >= Isa::avx2 && vectors &&
      (rule.reduction != Reduction::top_mean || rule.k <= kMostInVectors)) {
    if constexpr (std::is_same_v<T, float>)
      return reduce_segments_f32_avx2;
    else
      return reduce_segments_f64_avx2;
  }
#else
  (void)rule;
#endif
  return reduce_scalar<T>;
}

// The weights of n values, by their types from `types` on; `eight` holds those of all types where there are
// up to 8.
template <class T>
void look_up(const uint8_t* types, int64_t n, const T* of_types, const float* eight, T* weights) {
#ifdef EVTOK_X86
  if constexpr (std::is_same_v<T, float>)
    if (eight != nullptr) return weights_of_types_avx2(types, n, eight, weights);
#else
  (void)eight;
#endif
  for (int64_t i = 0; i < n; ++i) weights[i] = of_types[types[i]];
}

// Calls reduce(events with weights, begin, end) for runs of events whose weights fit into L1.
template <class T, class Reduce>
void with_type_weights(const Segments<T>& events, const TypeWeights<T>& types, int64_t begin, int64_t end,
                       const Reduce& reduce) {
  const int64_t* offsets = events.offsets;
  float eight[8] = {};
  bool few = false;
  if constexpr (std::is_same_v<T, float>) {
    few = types.n_types <= 8 && active_isa() >= Isa::avx2;
    if (few) std::copy_n(types.weights, types.n_types, eight);
  }
  std::vector<T> weights;
  while (begin < end) {
    const int64_t first = offsets[begin];
    int64_t stop = begin + 1;
    while (stop < end && offsets[stop + 1] - first <= kTypedObjects) ++stop;
    const int64_t n = offsets[stop] - first;
    weights.resize(static_cast<size_t>(n + kReadBeyond));
    T* w = weights.data();
    look_up(types.types + first, n, types.weights, few ? eight : nullptr, w);
    if (events.weights != nullptr)
      for (int64_t i = 0; i < n; ++i) {
        const T own = events.weights[first + i - events.weights_from];
        // Below 0 is invalid, though the product with a type of weight 0 would not show it.
        w[i] = own < 0 ? std::numeric_limits<T>::quiet_NaN() : w[i] * own;
      }
    reduce(Segments<T>{events.values, events.n_values, w, first, offsets}, begin, stop);
    begin = stop;
  }
}

}  // namespace

int64_t reduce_segments_f32_scalar(const Segments<float>& events, const SegmentRule& rule, int64_t begin,
                                   int64_t end, float* out) {
  return reduce_scalar(events, rule, begin, end, out);
}
int64_t reduce_segments_f64_scalar(const Segments<double>& events, const SegmentRule& rule, int64_t begin,
                                   int64_t end, double* out) {
  return reduce_scalar(events, rule, begin, end, out);
}

template <class T>
InvalidSegments reduce_segments(const Segments<T>& events, int64_t n_events, const TypeWeights<T>& types,
                                const SegmentRule& rule, int threads, T* out) {
  const ReduceSegments<T> kernel = kernel_for<T>(rule);
  InvalidSegments invalid{0, -1};
  std::mutex guard;
  const auto reduce = [&](const Segments<T>& part, int64_t begin, int64_t end) {
    const int64_t count = kernel(part, rule, begin, end, out);
    if (count == 0) return;
    int64_t first = begin;
    while (kernel(part, rule, first, first + 1, out) == 0) ++first;
    const std::lock_guard lock(guard);
    invalid.first = invalid.count == 0 ? first : std::min(invalid.first, first);
    invalid.count += count;
  };
  parallel_for_events(events.offsets, n_events, kGrain, threads, [&](int64_t begin, int64_t end) {
    if (types.types == nullptr)
      reduce(events, begin, end);
    else
      with_type_weights(events, types, begin, end, reduce);
  });
  return invalid;
}

template InvalidSegments reduce_segments<float>(const Segments<float>&, int64_t, const TypeWeights<float>&,
                                                const SegmentRule&, int, float*);
template InvalidSegments reduce_segments<double>(const Segments<double>&, int64_t, const TypeWeights<double>&,
                                                 const SegmentRule&, int, double*);

}  // namespace evtok
