// Reductions over the values of each event: sum, mean, max, and the mean of the k largest.
//
// Contract, for the values v[0..n-1] of one event with weights w[0..n-1], T float32 or float64:
//   sum       eight partial sums in float64 from +0: for i in 0..n-1: p[i % 8] = fma(v[i], w[i], p[i % 8]);
//             total = ((p0 + p4) + (p2 + p6)) + ((p1 + p5) + (p3 + p7)), rounded once to T
//   mean      that total, not yet rounded, over the total of w in the same order; rounded once to T
//   max       the largest u[i] = fl(v[i] * w[i]) in T; a zero is +0
//   top_mean  of the u the min(k, how many there are) largest, added in float64 from +0, the largest first,
//             over their number; rounded once to T
// Without weights w is 1. With types it is the weight of the type of value i, and with both their product,
// rounded to T, which stands for no weight where one of them is below 0. A value of weight 0 is as if it were
// not there, but must be finite too. An event without values is given `empty`. An event is invalid, and given
// NaN, when some v or w is not finite, some w is below 0, or a result, or for max and top_mean some u,
// overflows T. Vector lanes are the partial sums, or take part in comparisons alone, so that the bits of an
// event depend neither on the instruction set nor on the other events.
#pragma once

#include <cstdint>

namespace evtok {

enum class Reduction : int32_t { sum = 0, mean = 1, max = 2, top_mean = 3 };
inline constexpr int32_t kReductions = 4;

/// The values of events, all borrowed. A plain struct, so that files compiled for one instruction set can use
/// it.
template <class T> struct Segments {
  const T* values;   // (n_values,)
  int64_t n_values;  // at least offsets[n_events]; what may be read
  const T*
      weights;  // those of value `weights_from` on, readable as far as 16 values beyond an event are; or null
  int64_t weights_from;
  const int64_t* offsets;  // (n_events + 1,), checked
};

/// Weights by type, borrowed; null where values have no types.
template <class T> struct TypeWeights {
  const uint8_t* types = nullptr;  // (offsets[n_events],), each below n_types
  const T* weights = nullptr;      // (n_types,)
  int64_t n_types = 0;
};

struct SegmentRule {
  Reduction reduction;
  int64_t k;     // of top_mean, at least 1
  double empty;  // for events without values
};

/// How many events were invalid, and the first of them or -1.
struct InvalidSegments {
  int64_t count, first;
};

/// One thread's part: events begin to end - 1 to out (n_events,); returns how many of them are invalid.
template <class T>
using ReduceSegments = int64_t (*)(const Segments<T>& events, const SegmentRule& rule, int64_t begin,
                                   int64_t end, T* out);

int64_t reduce_segments_f32_scalar(const Segments<float>&, const SegmentRule&, int64_t, int64_t, float*);
int64_t reduce_segments_f64_scalar(const Segments<double>&, const SegmentRule&, int64_t, int64_t, double*);
int64_t reduce_segments_f32_avx2(const Segments<float>&, const SegmentRule&, int64_t, int64_t, float*);
int64_t reduce_segments_f64_avx2(const Segments<double>&, const SegmentRule&, int64_t, int64_t, double*);

/// The largest k of top_mean that reduce_segments_f32_avx2 takes.
inline constexpr int64_t kMostInVectors = 8;

// Its parts: max, and top_mean.
int64_t maxima_f32_avx2(const Segments<float>&, const SegmentRule&, int64_t, int64_t, float*);
int64_t maxima_f64_avx2(const Segments<double>&, const SegmentRule&, int64_t, int64_t, double*);
int64_t top_means_avx2(const Segments<float>&, const SegmentRule&, int64_t, int64_t, float*);

/// The weight of each type of types (n,) to weights (n,); of_types (8,), types below 8.
void weights_of_types_avx2(const uint8_t* types, int64_t n, const float* of_types, float* weights);

/// Every event of `events` to out (n_events,).
template <class T>
InvalidSegments reduce_segments(const Segments<T>& events, int64_t n_events, const TypeWeights<T>& types,
                                const SegmentRule& rule, int threads, T* out);
extern template InvalidSegments reduce_segments<float>(const Segments<float>&, int64_t,
                                                       const TypeWeights<float>&, const SegmentRule&, int,
                                                       float*);
extern template InvalidSegments reduce_segments<double>(const Segments<double>&, int64_t,
                                                        const TypeWeights<double>&, const SegmentRule&, int,
                                                        double*);

}  // namespace evtok
