#include "evtok/nearest_coarse.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace evtok {
namespace {

constexpr int32_t kLargest = 63, kShift = 64;
constexpr double kLaneLimit = 32767;
constexpr double kLongerRows = 1.25;              // a row may be so much longer than every code
constexpr int64_t kMostDims = 4096;               // sums of squares stay below 2^31
constexpr int64_t kFewestGroups = 256;            // groups of a large codebook: small cells, minima in L2
constexpr int64_t kMostPanels = 16;               // of a group
constexpr int64_t kLanes = kFilterPanel * 2;      // of 16 bits in a quad of a panel
constexpr int64_t kLeastWork = int64_t{1} << 23;  // n_codes n_dims^2: with less, it does not pay (measured)
constexpr double kMargin = 1 + 1e-9;              // for the rounding of float64 below

// Nearest. What remains is computed exactly, so that any rounding is right.
int32_t divided(int32_t x, int32_t step) {
  const int32_t size = (std::abs(x) + step / 2) / step;
  return x < 0 ? -size : size;
}

int64_t floor_divided(int64_t a, int64_t b) {
  return a / b - (a % b < 0 ? 1 : 0);
}

}  // namespace

template <class T> bool CoarseCodes<T>::worth_building(int64_t n_codes, int64_t n_dims) {
  return n_dims >= 32 && n_dims <= kMostDims && n_codes >= 1024 && n_codes * n_dims * n_dims >= kLeastWork;
}

template <class T>
CoarseCodes<T>::CoarseCodes(const T* codes, int64_t n_codes, int64_t n_dims, const FilterCodes<T>& filter)
    : n_codes_(n_codes), n_dims_(n_dims), n_quads_((n_dims + 3) / 4),
      n_padded_((n_dims + kProductWidth - 1) / kProductWidth * kProductWidth) {
  if (!filter.usable() || n_dims > kMostDims) return;
  const FilterView fine = filter.view(0, filter.n_groups());
  integers_.assign(static_cast<size_t>(n_codes * n_padded_), 0);
  biases_.assign(fine.bias, fine.bias + n_codes);
  rows_.assign(codes, codes + n_codes * n_dims);
  int32_t largest = 0;
  for (int64_t k = 0; k < n_codes; ++k)
    for (int64_t j = 0; j < n_dims; ++j) {
      const int64_t panel = k / kFilterPanel, lane = k % kFilterPanel;
      const int16_t value = fine.codes[((panel * fine.n_pairs + j / 2) * kFilterPanel + lane) * 2 + j % 2];
      integers_[static_cast<size_t>(k * n_padded_ + j)] = value;
      largest = std::max(largest, std::abs(int32_t{value}));
    }
  step_ = std::max(1, (largest + kLargest - 1) / kLargest);

  while (group_panels_ < kMostPanels && n_codes / (2 * group_panels_ * kFilterPanel) >= kFewestGroups)
    group_panels_ *= 2;
  const int64_t group_codes = group_panels_ * kFilterPanel;
  n_groups_ = (n_codes + group_codes - 1) / group_codes;
  const int64_t places = n_groups_ * group_codes;
  codes_.assign(static_cast<size_t>(places * n_quads_ * 4), 0);
  bias_.assign(static_cast<size_t>(places), std::numeric_limits<int32_t>::max());
  double longest = 0;
  for (int64_t k = 0; k < n_codes; ++k) {
    const int64_t panel = k / kFilterPanel, lane = k % kFilterPanel;
    double rest = 0, square = 0, coarse = 0;
    for (int64_t j = 0; j < n_dims; ++j) {
      const int32_t value = integers_[static_cast<size_t>(k * n_padded_ + j)];
      const int32_t w = divided(value, step_);  // of -C
      codes_[static_cast<size_t>(((panel * n_quads_ + j / 4) * kFilterPanel + lane) * 4 + j % 4)] =
          static_cast<int8_t>(w);
      coarse += static_cast<double>(w) * w;
      const double left = value - step_ * w;
      rest += left * left;
      square += static_cast<double>(value) * value;
    }
    largest_rest_ = std::max(largest_rest_, std::sqrt(rest) * kMargin);
    largest_norm_ = std::max(largest_norm_, std::sqrt(square) * kMargin);
    longest = std::max(longest, std::sqrt(coarse));
    bias_[static_cast<size_t>(k)] =
        static_cast<int32_t>(floor_divided(biases_[static_cast<size_t>(k)], int64_t{step_} * step_));
  }
  for (n_stretches_ = 1;; n_stretches_ += (n_stretches_ + 1) / 2) {
    stretch_ = (n_quads_ + n_stretches_ - 1) / n_stretches_;
    const double lane = longest_lane() * kMargin;
    const double part = kLargest * std::sqrt(2.0 * static_cast<double>(stretch_));  // of any u in a lane
    longest_row_ = part * lane <= kLaneLimit ? std::numeric_limits<double>::infinity() : kLaneLimit / lane;
    if (longest_row_ >= kLongerRows * longest) break;  // at a stretch of 4, if not before
  }
  n_stretches_ = (n_quads_ + stretch_ - 1) / stretch_;
  set_starts();
  usable_ = true;
}

// The largest |w| of a lane and a stretch, 1 at least.
template <class T> double CoarseCodes<T>::longest_lane() const {
  int32_t longest = 1;
  for (int64_t panel = 0; panel < n_groups_ * group_panels_; ++panel)
    for (int64_t first = 0; first < n_quads_; first += stretch_) {
      int32_t squares[kLanes] = {};
      for (int64_t quad = first; quad < std::min(n_quads_, first + stretch_); ++quad) {
        const int8_t* w = codes_.data() + (panel * n_quads_ + quad) * kLanes * 2;
        for (int64_t i = 0; i < kLanes * 2; ++i) squares[i / 2] += int32_t{w[i]} * w[i];
      }
      longest = std::max(longest, *std::max_element(squares, squares + kLanes));
    }
  return std::sqrt(static_cast<double>(longest));
}

template <class T> void CoarseCodes<T>::set_starts() {
  starts_.assign(static_cast<size_t>(n_groups_ * group_panels_ * n_stretches_ * kLanes), 0);
  for (int64_t panel = 0; panel < n_groups_ * group_panels_; ++panel)
    for (int64_t quad = 0; quad < n_quads_; ++quad) {
      const int8_t* w = codes_.data() + (panel * n_quads_ + quad) * kLanes * 2;
      int16_t* start = starts_.data() + (panel * n_stretches_ + quad / stretch_) * kLanes;
      for (int64_t i = 0; i < kLanes * 2; ++i)
        start[i / 2] = static_cast<int16_t>(static_cast<uint16_t>(start[i / 2] - kShift * w[i]));
    }
}

template <class T> CoarseView CoarseCodes<T>::view(int64_t first, int64_t n) const {
  const int64_t panel = first * group_panels_;
  return {codes_.data() + panel * n_quads_ * kFilterPanel * 4,
          bias_.data() + panel * kFilterPanel,
          starts_.data() + panel * n_stretches_ * kLanes,
          n,
          group_panels_,
          n_quads_,
          stretch_};
}

template <class T> double CoarseCodes<T>::error(const CoarseRow& row) const {
  if (row.largest > (kLargest + 1) * step_) return -1;
  const double length = std::sqrt(static_cast<double>(row.square));
  const double rest = std::sqrt(static_cast<double>(row.rest));
  if (length > longest_row_) return -1;
  return (step_ * length * largest_rest_ + rest * largest_norm_) * kMargin;
}

template <class T> int32_t CoarseCodes<T>::limit(int32_t threshold, double error) const {
  const double square_step = static_cast<double>(step_) * step_;
  const double bound = std::floor((threshold + error) / square_step + 1e-3);  // 1e-3: its own rounding
  // INT32_MAX is the estimate of no code.
  return static_cast<int32_t>(std::clamp<double>(bound, std::numeric_limits<int32_t>::min(),
                                                 std::numeric_limits<int32_t>::max() - 1));
}

const CoarseKernels* coarse_kernels(Isa isa) {
#ifdef EVTOK_X86
  static const CoarseKernels avx2{coarse_round_row_avx2, coarse_minima_avx2,     coarse_places_avx2,
                                  coarse_products_avx2,  coarse_chains_f32_avx2, coarse_chains_f64_avx2};
  if (isa == Isa::avx2) return &avx2;
#else
  (void)isa;
#endif
  return nullptr;
}

template class CoarseCodes<float>;
template class CoarseCodes<double>;

}  // namespace evtok
