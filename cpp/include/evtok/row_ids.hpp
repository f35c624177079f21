// Columns to token ids: the digits of every feature, combined into one id for each row or kept as one id
// each.
//
// Contract. The digit of a feature is its bin code (bins.hpp), clamped to [first, last], minus origin.
// Combined, the id is base + sum(digit * stride); with a vocabulary of tuples seen, that sum is a key and the
// id is base + the rank of the key among the keys seen. Factorised, feature w gives the id base_w + digit.
// Digits may also be given: a negative one is invalid, one that is not below their number is unknown. An
// invalid value (NaN, infinite, outside the domain) gives kInvalidId for every id of the row; an unknown one
// gives the id `unknown`.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "evtok/bin_search.hpp"
#include "evtok/stream_out.hpp"
#include "evtok/type_codes.hpp"

namespace evtok {

inline constexpr int32_t kInvalidId = -1;

/// Where the values of one feature come from and how they become a digit. All pointers are borrowed.
struct Feature {
  // Exactly one of the four is set; each is (n_rows,) contiguous.
  const float* float32 = nullptr;
  const double* float64 = nullptr;
  const uint8_t* types = nullptr;
  const int32_t* digits = nullptr;  // found elsewhere, such as codes of a codebook

  int32_t n_digits = 0;  // of `digits`

  // types: contribution of each code, or kUnknown.
  std::array<int32_t, 256> type_contribution{};
  SumTypes sum_types = nullptr;

  // Relative features: the value is (float64)x - reference[event], wrapped by wrap_angle on request; compared
  // in float64.
  const double* reference = nullptr;  // (n_events,), or null for 0
  bool relative = false;
  bool wrap = false;

  // A value of exactly zero has digit 0 whatever the edges say (padding of the published look-up-table
  // scheme).
  bool zero_is_digit_zero = false;

  // The search of the dtype that is compared; null for types.
  std::unique_ptr<BinSearch<float>> search32;
  std::unique_ptr<BinSearch<double>> search64;

  int32_t base = 0;  // factorised: the id of digit 0
};

struct RowStatistics {
  int64_t invalid = 0;                                          // rows with an invalid value
  int64_t unknown = 0;                                          // ids that became `unknown`
  int64_t first_invalid = std::numeric_limits<int64_t>::max();  // row
  int64_t first_unknown = std::numeric_limits<int64_t>::max();  // row

  void add(const RowStatistics& other);
};

class RowIds {
public:
  std::vector<Feature> features;
  bool factorised = false;
  int32_t base = 0;
  int32_t unknown = kInvalidId;    // kInvalidId: an unknown value is invalid
  const int32_t* ranks = nullptr;  // (n_keys,) rank of each key or -1, borrowed; or null
  int64_t n_keys = 0;
  const int32_t* seen = nullptr;  // (n_seen,) keys seen, increasing, borrowed; used when ranks is null
  int64_t n_seen = 0;
  const int64_t* offsets = nullptr;  // (n_events + 1,), needed by relative features, borrowed
  int64_t n_events = 0;
  CopyIds copy_ids = copy_ids_for(active_isa());

  /// Ids of one row.
  int64_t width() const { return factorised ? static_cast<int64_t>(features.size()) : 1; }

  /// Writes the ids of rows [begin, end) to out ((end - begin) * width(),), row-major. With Out = uint16_t,
  /// kInvalidId is written as 65535 and only the statistics tell. `stream` writes past the caches, for large
  /// outputs.
  template <class Out> RowStatistics run(int64_t begin, int64_t end, Out* out, bool stream) const;

private:
  static constexpr int64_t kBlock = 1024;  // rows whose codes stay in L1 between features

  /// Adds the digits of a feature to the accumulator (n,) for rows begin..begin + n, n at most kBlock. `sums`
  /// does so while nothing has to be flagged, as SumBins does.
  bool sums(const Feature& f, int64_t begin, int64_t n, bool fresh, int32_t* accumulator) const;
  void contributions(const Feature& f, int64_t begin, int64_t n, bool fresh, int32_t* accumulator) const;
  const double* derived_values(const Feature& f, int64_t begin, int64_t n, double* values) const;
  int64_t event_of(int64_t row) const;
  int32_t finish(int32_t accumulator, int32_t feature_base, int64_t row, RowStatistics& statistics,
                 bool& row_invalid) const;
};

extern template RowStatistics RowIds::run<int32_t>(int64_t, int64_t, int32_t*, bool) const;
extern template RowStatistics RowIds::run<uint16_t>(int64_t, int64_t, uint16_t*, bool) const;

}  // namespace evtok
