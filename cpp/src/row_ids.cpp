#include "evtok/row_ids.hpp"

#include <algorithm>
#include <type_traits>

#include "evtok/angles.hpp"
#include "evtok/stream_out.hpp"

namespace evtok {
namespace {

constexpr int32_t kFlags = kInvalid | kUnknown;

// Brings the values of rows [begin, end) closer: blocks of several columns by turns are more than a processor
// foresees.
template <class T> void fetch(const T* values, int64_t begin, int64_t end) {
  constexpr int64_t kLine = 64 / sizeof(T);
  if (values == nullptr) return;
  for (int64_t row = begin; row < end; row += kLine) __builtin_prefetch(values + row, 0, 3);
}

void copy_scalar(const int32_t* codes, int64_t n, int32_t base, int32_t* out, bool stream) {
  copy_out(codes, n, base, out, stream);
}

int32_t contribution_of_digit(int32_t digit, int32_t n_digits) {
  if (digit < 0) return kInvalid;
  return digit < n_digits ? digit : kUnknown;
}

}  // namespace

CopyIds copy_ids_for(Isa isa) {
#ifdef EVTOK_X86
  if (isa >= Isa::avx2) return copy_ids_avx2;
#else
  (void)isa;
#endif
  return copy_scalar;
}

void RowStatistics::add(const RowStatistics& other) {
  invalid += other.invalid;
  unknown += other.unknown;
  first_invalid = std::min(first_invalid, other.first_invalid);
  first_unknown = std::min(first_unknown, other.first_unknown);
}

int64_t RowIds::event_of(int64_t row) const {
  // The last event that begins at or before `row`: empty events before it are skipped.
  return std::upper_bound(offsets, offsets + n_events + 1, row) - offsets - 1;
}

// The float64 values of a relative feature, for one block.
const double* RowIds::derived_values(const Feature& f, int64_t begin, int64_t n, double* values) const {
  for (int64_t i = 0; i < n; ++i)
    values[i] = f.float32 != nullptr ? static_cast<double>(f.float32[begin + i]) : f.float64[begin + i];
  if (f.reference != nullptr) {
    int64_t event = event_of(begin);
    for (int64_t i = 0; i < n; ++i) {
      while (offsets[event + 1] <= begin + i) ++event;
      values[i] -= f.reference[event];
    }
  }
  if (f.wrap)
    for (int64_t i = 0; i < n; ++i) values[i] = wrap_angle(values[i]);
  return values;
}

bool RowIds::sums(const Feature& f, int64_t begin, int64_t n, bool fresh, int32_t* accumulator) const {
  if (f.types != nullptr)
    return f.sum_types(f.types + begin, n, f.type_contribution.data(), fresh, accumulator);
  if (f.relative) {
    double values[kBlock];
    return f.search64->sum(derived_values(f, begin, n, values), n, fresh, accumulator);
  }
  if (f.zero_is_digit_zero || f.digits != nullptr) {
    contributions(f, begin, n, fresh, accumulator);
    int32_t flags = 0;
    for (int64_t i = 0; i < n; ++i) flags |= accumulator[i];
    return (flags & kFlags) == 0;
  }
  if (f.search32) return f.search32->sum(f.float32 + begin, n, fresh, accumulator);
  return f.search64->sum(f.float64 + begin, n, fresh, accumulator);
}

void RowIds::contributions(const Feature& f, int64_t begin, int64_t n, bool fresh,
                           int32_t* accumulator) const {
  if (f.types != nullptr) {
    accumulate_types(f.types + begin, n, f.type_contribution.data(), fresh, accumulator);
  } else if (f.digits != nullptr) {
    for (int64_t i = 0; i < n; ++i) {
      const int32_t own = contribution_of_digit(f.digits[begin + i], f.n_digits);
      accumulator[i] = fresh ? own : add_contribution(accumulator[i], own);
    }
  } else if (f.relative) {
    double values[kBlock];
    f.search64->accumulate(derived_values(f, begin, n, values), n, fresh, accumulator);
  } else if (f.zero_is_digit_zero) {
    int32_t own[kBlock];
    if (f.search32)
      f.search32->accumulate(f.float32 + begin, n, true, own);
    else
      f.search64->accumulate(f.float64 + begin, n, true, own);
    for (int64_t i = 0; i < n; ++i) {
      const bool zero = f.float32 != nullptr ? f.float32[begin + i] == 0 : f.float64[begin + i] == 0;
      own[i] = zero ? 0 : own[i];
      accumulator[i] = fresh ? own[i] : add_contribution(accumulator[i], own[i]);
    }
  } else if (f.search32) {
    f.search32->accumulate(f.float32 + begin, n, fresh, accumulator);
  } else {
    f.search64->accumulate(f.float64 + begin, n, fresh, accumulator);
  }
}

int32_t RowIds::finish(int32_t accumulator, int32_t feature_base, int64_t row, RowStatistics& statistics,
                       bool& row_invalid) const {
  if (accumulator < 0) {
    row_invalid = true;
    return kInvalidId;
  }
  int32_t rank = accumulator;
  bool is_unknown = (accumulator & kUnknown) != 0;
  if (!is_unknown && ranks != nullptr) {
    rank = ranks[accumulator];  // keys are below n_keys: the digits are clamped
    is_unknown = rank < 0;
  } else if (!is_unknown && seen != nullptr) {
    const int32_t* place = std::lower_bound(seen, seen + n_seen, accumulator);
    is_unknown = place == seen + n_seen || *place != accumulator;
    rank = static_cast<int32_t>(place - seen);
  }
  if (!is_unknown) return feature_base + rank;
  if (unknown == kInvalidId) {
    row_invalid = true;
    return kInvalidId;
  }
  ++statistics.unknown;
  statistics.first_unknown = std::min(statistics.first_unknown, row);
  return unknown;
}

template <class Out> RowStatistics RowIds::run(int64_t begin, int64_t end, Out* out, bool stream) const {
  RowStatistics statistics;
  const int64_t columns = width();
  const bool by_rank = ranks != nullptr || seen != nullptr;
  alignas(64) int32_t accumulator[kBlock], ids[kBlock];
  for (int64_t row = begin; row < end; row += kBlock) {
    const int64_t n = std::min(kBlock, end - row);
    Out* place = out + (row - begin) * columns;
    const auto put = [&](const int32_t* codes, int32_t from, Out* to) {
      if constexpr (std::is_same_v<Out, int32_t>)
        copy_ids(codes, n, from, to, stream);
      else
        copy_out(codes, n, from, to, stream);
    };

    if (!factorised) {
      bool clean = true;
      const int64_t next = row + n, after = std::min(next + kBlock, end);
      for (size_t k = 0; clean && k < features.size(); ++k) {
        fetch(features[k].float32, next, after);
        fetch(features[k].float64, next, after);
        fetch(features[k].types, next, after);
        clean = sums(features[k], row, n, k == 0, accumulator);
      }
      if (clean && !by_rank) {
        put(accumulator, base, place);
        continue;
      }
      if (!clean)
        for (size_t k = 0; k < features.size(); ++k) contributions(features[k], row, n, k == 0, accumulator);
      for (int64_t i = 0; i < n; ++i) {
        bool row_invalid = false;
        ids[i] = finish(accumulator[i], base, row + i, statistics, row_invalid);
        statistics.invalid += row_invalid;
        if (row_invalid) statistics.first_invalid = std::min(statistics.first_invalid, row + i);
      }
      put(ids, 0, place);
      continue;
    }

    bool invalid[kBlock] = {};
    for (size_t k = 0; k < features.size(); ++k) {
      contributions(features[k], row, n, true, accumulator);
      for (int64_t i = 0; i < n; ++i)
        place[i * columns + static_cast<int64_t>(k)] =
            static_cast<Out>(finish(accumulator[i], features[k].base, row + i, statistics, invalid[i]));
    }
    for (int64_t i = 0; i < n; ++i) {
      if (!invalid[i]) continue;
      ++statistics.invalid;
      statistics.first_invalid = std::min(statistics.first_invalid, row + i);
      for (int64_t k = 0; k < columns; ++k) place[i * columns + k] = static_cast<Out>(kInvalidId);
    }
  }
  return statistics;
}

template RowStatistics RowIds::run<int32_t>(int64_t, int64_t, int32_t*, bool) const;
template RowStatistics RowIds::run<uint16_t>(int64_t, int64_t, uint16_t*, bool) const;

}  // namespace evtok
