#include "evtok/code_boxes.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "evtok/parallel.hpp"

namespace evtok {
namespace {

constexpr int64_t kBranchCodes = kBoxFan * kBoxFan;
constexpr int64_t kWorthThreads = 1 << 15;  // codes

// Orders codes so that each run of kBoxFan, and of kBranchCodes, is a box of a k-d tree: ranges are halved
// along the dimension in which they are widest, at a multiple of the run.
template <class T> class Splitter {
public:
  Splitter(const T* codes, int64_t n_dims, std::vector<int32_t>& order)
      : codes_(codes), n_dims_(n_dims), order_(order) {}

  // Level by level, the ranges of a level at once: threads share them, and Ctrl-C is seen between them. The
  // order does not depend on the threads.
  void split(int64_t n, int threads) {
    std::vector<Range> level{{0, n}};
    while (!level.empty()) {
      std::vector<Range> halves(2 * level.size());
      parallel_for(static_cast<int64_t>(level.size()), 1, threads, [&](int64_t first, int64_t last) {
        for (auto r = static_cast<size_t>(first); r < static_cast<size_t>(last); ++r)
          halve(level[r], &halves[2 * r]);
      });
      level.clear();
      for (const Range& half : halves)
        if (half.end - half.begin > kBoxFan) level.push_back(half);
    }
  }

private:
  struct Range {
    int64_t begin = 0, end = 0;
  };

  void halve(Range range, Range* halves) {
    const int64_t n = range.end - range.begin;
    if (n <= kBoxFan) return;
    const int64_t unit = n > kBranchCodes ? kBranchCodes : kBoxFan;
    const int64_t middle = range.begin + (n / unit + (n % unit != 0)) / 2 * unit;
    const int64_t dim = widest(range.begin, range.end);
    const auto less = [&](int32_t a, int32_t b) {
      const T left = codes_[a * n_dims_ + dim], right = codes_[b * n_dims_ + dim];
      return left < right || (left == right && a < b);
    };
    std::nth_element(order_.begin() + range.begin, order_.begin() + middle, order_.begin() + range.end, less);
    halves[0] = {range.begin, middle};
    halves[1] = {middle, range.end};
  }

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
  const int threads = n_codes < kWorthThreads ? 1 : 0;
  Splitter<T>(codes, n_dims, order).split(n_codes, threads);

  n_branches_ = (n_codes + kBranchCodes * kBoxFan - 1) / (kBranchCodes * kBoxFan) * kBoxFan;
  n_filled_ = (n_codes + kBranchCodes - 1) / kBranchCodes;
  const T none = std::numeric_limits<T>::infinity();
  branches_.assign(static_cast<size_t>(n_branches_ * n_dims * 2), none);
  leaves_.assign(static_cast<size_t>(n_filled_ * kBoxFan * n_dims * 2), none);
  codes_.assign(static_cast<size_t>(n_filled_ * kBranchCodes * n_dims), none);
  ids_.assign(static_cast<size_t>(n_filled_ * kBranchCodes), std::numeric_limits<int32_t>::max());
  const auto widen = [&](AlignedVector<T>& boxes, int64_t box, int64_t dim, T value, bool fresh) {
    const int64_t place = ((box / kBoxFan * n_dims + dim) * 2) * kBoxFan + box % kBoxFan;
    T &lo = boxes[static_cast<size_t>(place)], &hi = boxes[static_cast<size_t>(place + kBoxFan)];
    lo = fresh ? value : std::min(lo, value);
    hi = fresh ? value : std::max(hi, value);
  };
  parallel_for(n_filled_, 1, threads, [&](int64_t first, int64_t last) {
    for (int64_t i = first * kBranchCodes; i < std::min(n_codes, last * kBranchCodes); ++i) {
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
  });
}

template <class T> BoxView<T> CodeBoxes<T>::view() const {
  return {branches_.data(), leaves_.data(), codes_.data(), ids_.data(), n_branches_, n_filled_, n_dims_};
}

template class CodeBoxes<float>;
template class CodeBoxes<double>;

}  // namespace evtok
