// Bin search: the scalar kernel, the choice of kernel, and the layout of the edges.
#include "evtok/bin_search.hpp"

#include <cstddef>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "evtok/bin_grid_fit.hpp"
#include "evtok/float_environment.hpp"

namespace evtok {
namespace {

template <class T>
void accumulate_bins_scalar(const T* x, int64_t n, const BinTable<T>& table, bool fresh,
                            int32_t* accumulator) {
  for (int64_t i = 0; i < n; ++i) {
    const int32_t contribution = bin_contribution(x[i], table);
    accumulator[i] = fresh ? contribution : add_contribution(accumulator[i], contribution);
  }
}

template <class T>
bool sum_bins_scalar(const T* x, int64_t n, const BinTable<T>& table, bool fresh, int32_t* accumulator) {
  bool clean = true;
  for (int64_t i = 0; i < n; ++i) clean &= sum_contribution(x[i], table, fresh, accumulator + i);
  return clean;
}

// More edges in a bucket than this, and the logarithmic search is faster than passing them all.
constexpr int64_t kMaxFine = 63;

// So many values that the time of fitting a grid is saved again.
constexpr int64_t kWorthAGrid = 1 << 14;

// A code is an int32 below kUnknown.
int64_t checked_count(int64_t n_edges) {
  if (n_edges >= kUnknown)
    throw std::length_error("edges: expected fewer than 2^30, got " + std::to_string(n_edges));
  return n_edges;
}

}  // namespace

template <class T> AccumulateBins<T> accumulate_bins_for(Isa isa) {
#ifdef EVTOK_X86
  if constexpr (std::is_same_v<T, float>) {
    if (isa >= Isa::avx512) return accumulate_bins_f32_avx512;
    if (isa >= Isa::avx2) return accumulate_bins_f32_avx2;
  } else {
    if (isa >= Isa::avx512) return accumulate_bins_f64_avx512;
    if (isa >= Isa::avx2) return accumulate_bins_f64_avx2;
  }
#else
  (void)isa;
#endif
  return accumulate_bins_scalar<T>;
}

template <class T> SumBins<T> sum_bins_for(Isa isa) {
#ifdef EVTOK_X86
  if constexpr (std::is_same_v<T, float>) {
    if (isa >= Isa::avx512) return sum_bins_f32_avx512;
    if (isa >= Isa::avx2) return sum_bins_f32_avx2;
  } else {
    if (isa >= Isa::avx512) return sum_bins_f64_avx512;
    if (isa >= Isa::avx2) return sum_bins_f64_avx2;
  }
#else
  (void)isa;
#endif
  return sum_bins_scalar<T>;
}

template <class T> int32_t bin_lanes(Isa isa) {
  if (isa == Isa::scalar) return 0;
  if (isa == Isa::avx2) return 8;  // float64 too: see BinTable::coarse32
  return 64 / static_cast<int32_t>(sizeof(T));
}

// Bucket b holds n_fine edges, followed by the coarse edge that ends it.
template <class T>
template <class U>
void BinSearch<T>::lay_out(std::vector<U>& coarse, std::vector<U>& fine) const {
  const int64_t lanes = table_.lanes, n_fine = table_.n_fine;
  const U pad = std::numeric_limits<U>::quiet_NaN();
  const auto edge = [&](int64_t k) {
    return k < table_.n_edges ? static_cast<U>(edges_[static_cast<size_t>(k)]) : pad;
  };
  for (int64_t b = 0; b + 1 < lanes; ++b) coarse.push_back(edge(b * (n_fine + 1) + n_fine));
  for (int64_t f = 0; f < n_fine; ++f)
    for (int64_t b = 0; b < lanes; ++b) fine.push_back(edge(b * (n_fine + 1) + f));
}

template <class T>
BinSearch<T>::BinSearch(const T* edges, int64_t n_edges, bool right, Isa isa, int64_t n_values)
    : edges_(edges, edges + checked_count(n_edges)), kernel_(accumulate_bins_for<T>(isa)),
      sum_(sum_bins_for<T>(isa)) {
  const FloatEnvironment environment;  // coarse32, fine32 and the grid are rounded here
  table_ = BinTable<T>{};
  table_.edges = edges_.data();
  table_.n_edges = static_cast<int32_t>(n_edges);
  table_.right = right;
  table_.lowest = std::numeric_limits<T>::lowest();
  table_.highest = std::numeric_limits<T>::max();
  table_.last = table_.n_edges;
  table_.stride = 1;

  const int64_t lanes = bin_lanes<T>(isa);
  const int64_t n_fine = lanes > 0 ? (n_edges + 1 + lanes - 1) / lanes - 1 : 0;
  if (lanes == 0 || n_fine > kMaxFine) return;
  table_.lanes = static_cast<int32_t>(lanes);
  table_.n_fine = static_cast<int32_t>(n_fine);
  if constexpr (std::is_same_v<T, float>)
    if (isa >= Isa::avx2 && n_values >= kWorthAGrid) table_.grid = fit_bin_grid(edges_.data(), n_edges);
  if (std::is_same_v<T, double> && isa == Isa::avx2) {
    lay_out(coarse32_, fine32_);
    table_.coarse32 = coarse32_.data();
    table_.fine32 = fine32_.data();
  } else {
    lay_out(coarse_, fine_);
    table_.coarse = coarse_.data();
    table_.fine = fine_.data();
  }
}

template AccumulateBins<float> accumulate_bins_for<float>(Isa);
template AccumulateBins<double> accumulate_bins_for<double>(Isa);
template SumBins<float> sum_bins_for<float>(Isa);
template SumBins<double> sum_bins_for<double>(Isa);
template int32_t bin_lanes<float>(Isa);
template int32_t bin_lanes<double>(Isa);
template class BinSearch<float>;
template class BinSearch<double>;

}  // namespace evtok
