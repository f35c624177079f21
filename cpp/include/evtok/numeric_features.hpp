// Columns to vectors of float32: the numbers that a codebook or a network sees of an object.
//
// Contract. A feature is evaluated in float64 and rounded once to float32, in this order:
//   v = x                         exact
//   v = v - reference[event]      where there is a reference
//   v = wrap_angle(v)             where asked for (angles.hpp)
//   t = (f(v) - subtract) * multiply
//   u = (t - mean) / scale
// f is the identity, log, square root or asinh of real_functions.hpp. Nothing is fused. A cut keeps the
// objects with above < v < below, and comes before f. An object is invalid where v is not finite, f is not
// defined (log: v <= 0, sqrt: v < 0), or u is no finite float32.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace evtok {

enum class FeatureFunction : int32_t { identity = 0, log = 1, sqrt = 2, asinh = 3 };
inline constexpr int32_t kFeatureFunctions = 4;

/// What is known of an object; of several features, the highest counts.
enum class RowState : uint8_t { kept = 0, unknown = 1, cut = 2, invalid = 3 };

/// All pointers are borrowed.
struct NumericFeature {
  // Exactly one of the two is set; each is (n_rows,) contiguous.
  const float* float32 = nullptr;
  const double* float64 = nullptr;

  const double* reference = nullptr;  // (n_events,), or null for none
  bool wrap = false;
  double above = 0.0, below = 0.0;  // infinite where nothing is cut
  FeatureFunction function = FeatureFunction::identity;
  double subtract = 0.0, multiply = 1.0, mean = 0.0, scale = 1.0;
};

/// The type of an object as `n` numbers, of which one is `value` and the others are 0.
struct OneHot {
  const uint8_t* codes = nullptr;    // (n_rows,) borrowed
  std::array<int32_t, 256> place{};  // of each code, from 0 to n - 1, or -1 for an unknown type
  int32_t n = 0;
  float value = 1.0F;
};

class NumericFeatures {
public:
  std::vector<NumericFeature> features;
  OneHot types;                      // codes null: none
  const int64_t* offsets = nullptr;  // (n_events + 1,), needed by references, borrowed
  int64_t n_events = 0;

  /// Numbers of one row: its features, then those of its type.
  int64_t width() const { return static_cast<int64_t>(features.size()) + types.n; }

  /// Writes the vectors of rows [begin, end) to out (end - begin, width()) row-major, and their states to
  /// states (end - begin,). Vectors of rows that are not kept hold nothing of use. `threads` changes no bit.
  void run(int64_t begin, int64_t end, int threads, float* out, RowState* states) const;

private:
  void rows(int64_t begin, int64_t end, float* out, RowState* states) const;
  void one_feature(const NumericFeature& f, int64_t begin, int64_t n, float* out, RowState* states) const;
};

}  // namespace evtok
