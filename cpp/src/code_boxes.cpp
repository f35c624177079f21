#include "evtok/code_boxes.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

namespace evtok {
namespace {

constexpr int64_t kBranchCodes = kBoxFan * kBoxFan;

// Orders codes so that each run of kBoxFan, and of kBranchCodes, is a box of a k-d tree: ranges are halved
// along the dimension in which they are widest, at a multiple of the run.
template <class T> class Splitter {
public:
  Splitter(const T* codes, int64_t n_dims, std::vector<int32_t>& order)
      : codes_(codes), n_dims_(n_dims), order_(order) {}

  void split(int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    if (n <= kBoxFan) return;
    const int64_t unit = n > kBranchCodes ? kBranchCodes : kBoxFan;
    const int64_t middle = begin + (n / unit + (n % unit != 0)) / 2 * unit;
    const int64_t dim = widest(begin, end);
    const auto less = [&](int32_t a, int32_t b) {
      const T left = codes_[a * n_dims_ + dim], right = codes_[b * n_dims_ + dim];
      return left < right || (left == right && a < b);
    };
    std::nth_element(order_.begin() + begin, order_.begin() + middle, order_.begin() + end, less);
    split(begin, middle);
    split(middle, end);
  }

private:
  int64_t widest(int64_t begin, int64_t end) const {
    int64_t best = 0;
    double most = -1;
    for (int64_t dim = 0; dim < n_dims_; ++dim) {
      double sum = 0, square = 0;
      for (int64_t i = begin; i < end; ++i) {
        const auto value = static_cast<double>(codes_[order_[static_cast<size_t>(i)] * n_dims_ + dim]) -
                           static_cast<double>(codes_[order_[static_cast<size_t>(begin)] * n_dims_ + dim]);
        sum += value;
        square += value * value;
      }
      const double variance = square - sum * sum / static_cast<double>(end - begin);
      if (variance > most) {
        most = variance;
        best = dim;
      }
    }
    return best;
  }

  const T* codes_;
  int64_t n_dims_;
  std::vector<int32_t>& order_;
};

}  // namespace

template <class T>
CodeBoxes<T>::CodeBoxes(const T* codes, int64_t n_codes, int64_t n_dims) : n_dims_(n_dims) {
  std::vector<int32_t> order(static_cast<size_t>(n_codes));
  std::iota(order.begin(), order.end(), 0);
  Splitter<T>(codes, n_dims, order).split(0, n_codes);

  n_branches_ = (n_codes + kBranchCodes * kBoxFan - 1) / (kBranchCodes * kBoxFan) * kBoxFan;
  n_filled_ = (n_codes + kBranchCodes - 1) / kBranchCodes;
  const T none = std::numeric_limits<T>::infinity();
  branches_.assign(static_cast<size_t>(n_branches_ * n_dims * 2), none);
  leaves_.assign(static_cast<size_t>(n_branches_ * kBoxFan * n_dims * 2), none);
  codes_.assign(static_cast<size_t>(n_branches_ * kBranchCodes * n_dims), none);
  ids_.assign(static_cast<size_t>(n_branches_ * kBranchCodes), std::numeric_limits<int32_t>::max());
  const auto widen = [&](AlignedVector<T>& boxes, int64_t box, int64_t dim, T value, bool fresh) {
    const int64_t place = ((box / kBoxFan * n_dims + dim) * 2) * kBoxFan + box % kBoxFan;
    T &lo = boxes[static_cast<size_t>(place)], &hi = boxes[static_cast<size_t>(place + kBoxFan)];
    lo = fresh ? value : std::min(lo, value);
    hi = fresh ? value : std::max(hi, value);
  };
  for (int64_t i = 0; i < n_codes; ++i) {
    const int32_t id = order[static_cast<size_t>(i)];
    const int64_t leaf = i / kBoxFan;
    ids_[static_cast<size_t>(i)] = id;
    for (int64_t dim = 0; dim < n_dims; ++dim) {
      const T value = codes[id * n_dims + dim];
      codes_[static_cast<size_t>((leaf * n_dims + dim) * kBoxFan + i % kBoxFan)] = value;
      widen(leaves_, leaf, dim, value, i % kBoxFan == 0);
      widen(branches_, leaf / kBoxFan, dim, value, i % kBranchCodes == 0);
    }
  }
}

template <class T> BoxView<T> CodeBoxes<T>::view() const {
  return {branches_.data(), leaves_.data(), codes_.data(), ids_.data(), n_branches_, n_filled_, n_dims_};
}

template class CodeBoxes<float>;
template class CodeBoxes<double>;

}  // namespace evtok
