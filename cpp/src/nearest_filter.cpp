#include "evtok/nearest_filter.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

namespace evtok {
namespace {

constexpr double kRounding = 0.502;  // see the bound in nearest_filter.hpp
constexpr double kCodeNorm = 16384;  // largest |d|: |d|^2 / 2 + |xi| |d| stays below 2^31
constexpr double kRowNorm = 65536;   // largest |xi|
constexpr double kLargestCoordinate = 32767;
constexpr int64_t kFewestCodes = 64;          // fewer, and the exhaustive search is as fast
constexpr int64_t kFewestGroups = 128;        // groups of a large codebook: their minima stay in L1
constexpr int64_t kGroupPanels[2] = {2, 32};  // panels of a group, fewest and most
constexpr double kLowestScale = 0x1p-40, kHighestScale = 0x1p60;

// The power of two that brings `size` to at most `limit`, and above half of it.
double scale_to(double size, double limit) {
  int exponent = 0;
  const double fraction = std::frexp(limit / size, &exponent);  // in [0.5, 1)
  return fraction > 0 ? std::ldexp(1.0, exponent - 1) : 0;
}

// |x|^2. Eight sums side by side, because each addition of one waits for the one before.
template <class T> double square_of(const T* x, int64_t n) {
  double sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int64_t l = 0; l < 8; ++l) sums[l] += static_cast<double>(x[i + l]) * static_cast<double>(x[i + l]);
  for (; i < n; ++i) sums[0] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

bool in_range(double scale) {
  return scale >= kLowestScale && scale <= kHighestScale;
}

}  // namespace

template <class T>
FilterCodes<T>::FilterCodes(const T* codes, int64_t n_codes, int64_t n_dims, bool dot)
    : n_dims_(n_dims), n_pairs_((n_dims + 1) / 2), dot_(dot) {
  if (n_codes < kFewestCodes || n_dims > (int64_t{1} << 15)) return;
  const auto dims = static_cast<size_t>(n_dims);
  AlignedVector<double> mean(dims, 0.0);
  if (!dot)
    for (int64_t k = 0; k < n_codes; ++k)
      for (size_t j = 0; j < dims; ++j)
        mean[j] +=
            static_cast<double>(codes[k * n_dims + static_cast<int64_t>(j)]) / static_cast<double>(n_codes);
  for (const double value : mean) centre_.push_back(static_cast<T>(value));

  const auto offset = [&](int64_t k, int64_t j) {
    return static_cast<double>(codes[k * n_dims + j]) - static_cast<double>(centre_[static_cast<size_t>(j)]);
  };
  double largest = 0;
  for (int64_t k = 0; k < n_codes; ++k) {
    double square = 0;
    for (int64_t j = 0; j < n_dims; ++j) square += offset(k, j) * offset(k, j);
    largest = std::max(largest, std::sqrt(square));
  }
  if (!(largest > 0 && largest <= std::numeric_limits<float>::max())) return;
  const double scale = scale_to(largest, kCodeNorm);
  if (!in_range(scale)) return;
  scale_ = static_cast<T>(scale);
  largest_norm_ = largest * scale;
  const double unit = std::numeric_limits<T>::epsilon() / 2;
  const double eta = std::expm1(static_cast<double>(n_dims + 2) * std::log1p(unit));
  proportion_ = dot ? 2 * eta * largest_norm_ : 2 * eta / (1 - eta);

  group_panels_ = kGroupPanels[0];
  while (group_panels_ < kGroupPanels[1] && n_codes / (2 * group_panels_ * kFilterPanel) >= kFewestGroups)
    group_panels_ *= 2;
  n_groups_ = (n_codes + group_codes() - 1) / group_codes();
  const int64_t places = n_groups_ * group_codes();
  codes_.assign(static_cast<size_t>(places * n_pairs_ * 2), 0);
  bias_.assign(static_cast<size_t>(places), std::numeric_limits<int32_t>::max());
  for (int64_t k = 0; k < n_codes; ++k) {
    double square = 0;
    const int64_t panel = k / kFilterPanel, lane = k % kFilterPanel;
    for (int64_t j = 0; j < n_dims; ++j) {
      const double d = offset(k, j) * scale;
      square += d * d;
      codes_[static_cast<size_t>(((panel * n_pairs_ + j / 2) * kFilterPanel + lane) * 2 + j % 2)] =
          static_cast<int16_t>(-std::nearbyint(d));
    }
    bias_[static_cast<size_t>(k)] = dot ? 0 : static_cast<int32_t>(std::nearbyint(square / 2));
  }
  usable_ = true;
}

template <class T> FilterView FilterCodes<T>::view(int64_t first, int64_t n) const {
  const int64_t panel = first * group_panels_;
  return {codes_.data() + panel * n_pairs_ * kFilterPanel * 2, bias_.data() + panel * kFilterPanel, n,
          group_panels_, n_pairs_};
}

template <class T> double FilterCodes<T>::round_row(const T* x, int16_t* rounded) const {
  T scale = scale_;
  if (dot_) {
    const double square = square_of(x, n_dims_);
    const double wanted = square > 0 ? scale_to(std::sqrt(square), kCodeNorm) : 1;
    if (!in_range(wanted)) return -1;
    scale = static_cast<T>(wanted);
  }
  // Plain C for the compiler's vectors. Where y is outside the range of int16, its integer means nothing: the
  // row is refused below, as is NaN, whose bits are those of a still larger number.
  using Bits = std::conditional_t<std::is_same_v<T, float>, int32_t, int64_t>;
  constexpr T kToInteger = std::is_same_v<T, float> ? T(0x1.8p23) : T(0x1.8p52);
  const T* centre = centre_.data();
  Bits largest = 0;
  uint64_t square = 0;
  for (int64_t j = 0; j < n_dims_; ++j) {
    const T y = (x[j] - centre[j]) * scale;
    const Bits size = std::bit_cast<Bits>(y) & std::numeric_limits<Bits>::max();
    largest = size > largest ? size : largest;
    // The sum has no room for digits behind the point: its last bits are y, rounded.
    const auto nearest = static_cast<int16_t>(std::bit_cast<Bits>(y + kToInteger));
    rounded[j] = nearest;
    square += static_cast<uint32_t>(int32_t{nearest} * nearest);
  }
  if (n_dims_ % 2 != 0) rounded[n_dims_] = 0;
  const double norm = std::sqrt(static_cast<double>(square)) * (1 + 1e-6),
               root = kRounding * std::sqrt(static_cast<double>(n_dims_));
  if (largest >= std::bit_cast<Bits>(T(kLargestCoordinate)) || norm >= kRowNorm) return -1;
  const double error = 1 + root * (largest_norm_ + norm);
  return dot_ ? 2 * error + proportion_ * (norm + root)
              : 2 * error + proportion_ * (error + (norm + root) * (norm + root) / 2);
}

template <class T> int32_t FilterCodes<T>::threshold(int32_t smallest, double slack) const {
  const double bound = smallest + slack + (dot_ ? 0 : proportion_ * std::max(0, smallest)) + 1;
  return bound >= std::numeric_limits<int32_t>::max() ? std::numeric_limits<int32_t>::max()
                                                      : static_cast<int32_t>(std::ceil(bound));
}

const FilterKernels* filter_kernels(Isa isa) {
#ifdef EVTOK_X86
  static const FilterKernels avx2{8, filter_minima_avx2, filter_smallest_avx2, filter_groups_avx2};
  static const FilterKernels avx512{16, filter_minima_avx512, filter_smallest_avx512, filter_groups_avx512};
  static const FilterKernels avx512_bf16{16, filter_minima_avx512_bf16, filter_smallest_avx512,
                                         filter_groups_avx512};
  switch (isa) {
  case Isa::avx2:
    return &avx2;
  case Isa::avx512:
    return &avx512;
  case Isa::avx512_bf16:
    return &avx512_bf16;
  case Isa::scalar:
    break;
  }
#else
  (void)isa;
#endif
  return nullptr;
}

template class FilterCodes<float>;
template class FilterCodes<double>;

}  // namespace evtok
