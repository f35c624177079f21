#include "evtok/numeric_features.hpp"

#include <algorithm>
#include <cmath>

#include "evtok/angles.hpp"
#include "evtok/parallel.hpp"
#include "evtok/real_functions.hpp"

namespace evtok {
namespace {

constexpr int64_t kBlock = 512;    // rows whose values stay in L1 between features
constexpr int64_t kGrain = 16384;  // rows handed to a thread at a time

void raise(RowState& state, RowState to) {
  state = std::max(state, to);
}

bool is_finite32(float x) {
  return std::fabs(x) <= std::numeric_limits<float>::max();
}

double apply(FeatureFunction function, double v) {
  switch (function) {
  case FeatureFunction::log:
    return natural_log(v);
  case FeatureFunction::sqrt:
    return std::sqrt(v);  // NaN below 0
  case FeatureFunction::asinh:
    return inverse_sinh(v);
  default:
    return v;
  }
}

}  // namespace

void NumericFeatures::one_feature(const NumericFeature& f, int64_t begin, int64_t n, float* out,
                                  RowState* states) const {
  double values[kBlock];
  for (int64_t i = 0; i < n; ++i)
    values[i] = f.float32 != nullptr ? static_cast<double>(f.float32[begin + i]) : f.float64[begin + i];
  if (f.reference != nullptr) {
    // The last event that begins at or before the row: empty events before it are skipped.
    int64_t event = std::upper_bound(offsets, offsets + n_events + 1, begin) - offsets - 1;
    for (int64_t i = 0; i < n; ++i) {
      while (offsets[event + 1] <= begin + i) ++event;
      values[i] -= f.reference[event];
    }
  }
  const int64_t stride = width();
  for (int64_t i = 0; i < n; ++i) {
    double v = values[i];
    if (!is_finite(v)) {
      raise(states[i], RowState::invalid);
      continue;
    }
    if (f.wrap) v = wrap_angle(v);
    if (!(f.above < v && v < f.below)) {
      raise(states[i], RowState::cut);
      continue;
    }
    const double t = (apply(f.function, v) - f.subtract) * f.multiply;
    const float u = static_cast<float>((t - f.mean) / f.scale);
    if (!is_finite32(u)) raise(states[i], RowState::invalid);
    out[i * stride] = u;
  }
}

void NumericFeatures::rows(int64_t begin, int64_t end, float* out, RowState* states) const {
  const int64_t stride = width(), n_features = static_cast<int64_t>(features.size());
  for (int64_t row = begin; row < end; row += kBlock) {
    const int64_t n = std::min(kBlock, end - row);
    float* vectors = out + (row - begin) * stride;
    RowState* state = states + (row - begin);
    std::fill_n(vectors, n * stride, 0.0F);
    std::fill_n(state, n, RowState::kept);
    for (int64_t k = 0; k < n_features; ++k)
      one_feature(features[static_cast<size_t>(k)], row, n, vectors + k, state);
    if (types.codes == nullptr) continue;
    for (int64_t i = 0; i < n; ++i) {
      const int32_t place = types.place[types.codes[row + i]];
      if (place < 0 || place >= types.n)
        raise(state[i], RowState::unknown);
      else
        vectors[i * stride + n_features + place] = types.value;
    }
  }
}

void NumericFeatures::run(int64_t begin, int64_t end, int threads, float* out, RowState* states) const {
  parallel_for(end - begin, kGrain, threads, [&](int64_t first, int64_t last) {
    rows(begin + first, begin + last, out + first * width(), states + first);
  });
}

}  // namespace evtok
