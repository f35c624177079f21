#include "evtok/nearest.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "evtok/isa.hpp"
#include "evtok/nearest_block.hpp"
#include "evtok/parallel.hpp"

namespace evtok {
namespace {

// Rows of a block: few enough that their lists and minima stay in the cache, enough to share each read of
// codes.
constexpr int64_t kBlockRows = 32;
// Multiply-adds of a chunk of rows: about 50 µs of work, worth handing to a thread.
constexpr int64_t kGrainWork = int64_t{1} << 21;

// The largest |x|; NaN if one is NaN.
template <class T> T largest_magnitude(const T* x, int64_t n) {
  T largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    const T magnitude = std::abs(x[i]);
    largest = magnitude <= largest ? largest : magnitude;
    if (magnitude != magnitude) return magnitude;
  }
  return largest;
}

template <class T> bool is_finite(T x) {
  return std::abs(x) <= std::numeric_limits<T>::max();
}

// In integers, so that the compiler uses vectors: the bits of infinity and NaN are those of the largest
// numbers.
template <class T> bool all_finite(const T* x, int64_t n) {
  using Bits = std::conditional_t<std::is_same_v<T, float>, int32_t, int64_t>;
  Bits largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Bits size = std::bit_cast<Bits>(x[i]) & std::numeric_limits<Bits>::max();
    largest = size > largest ? size : largest;
  }
  return largest < std::bit_cast<Bits>(std::numeric_limits<T>::infinity());
}

// Counts the rows that were refused, over all threads.
class FaultCount {
public:
  void add(int64_t row, RowFault reason) {
    const std::lock_guard lock(mutex_);
    ++faults_.count;
    if (faults_.first >= 0 && faults_.first < row) return;
    faults_.first = row;
    faults_.reason = reason;
  }
  RowFaults get() const { return faults_; }

private:
  std::mutex mutex_;
  RowFaults faults_;
};

// One block of rows: the valid ones, packed, with their lists. A thread's memory, used for block after block.
template <class T> struct Block {
  std::vector<T> x;            // (rows, n_dims)
  std::vector<int64_t> rows;   // index of each in the whole input
  std::vector<T> values;       // (rows, k)
  std::vector<int32_t> ids;    // (rows, k)
  std::vector<int64_t> found;  // (rows,)
  RouteMemory<T> route;

  NeighbourLists<T> empty_lists(int64_t n, int64_t k) {
    values.resize(static_cast<size_t>(n * k));
    ids.resize(static_cast<size_t>(n * k));
    found.assign(static_cast<size_t>(n), 0);
    return {k, values.data(), ids.data(), found.data()};
  }
};

// Before any memory is taken for the codes.
int64_t checked_count(int64_t n_codes, int64_t n_dims) {
  if (n_codes < 1 || n_dims < 1)
    throw std::invalid_argument("codebook: expected at least one code of at least one dimension");
  if (n_codes > std::numeric_limits<int32_t>::max())
    throw std::length_error("codebook: expected fewer than 2^31 codes, got " + std::to_string(n_codes));
  return n_codes;
}

template <class T> void write_refused(const Neighbours<T>& out, int64_t row) {
  const T none = std::numeric_limits<T>::quiet_NaN();
  for (int64_t i = row * out.k; i < (row + 1) * out.k; ++i) {
    out.ids[i] = -1;
    if (out.values != nullptr) out.values[i] = none;
  }
  if (out.margin != nullptr) out.margin[row] = none;
}

}  // namespace

template <class T> int64_t normalise_codes(const T* codes, int64_t n_codes, int64_t n_dims, T* normalised) {
  const FloatEnvironment environment;
  for (int64_t k = 0; k < n_codes; ++k) {
    const T* code = codes + k * n_dims;
    double square = 0;
    for (int64_t j = 0; j < n_dims; ++j)
      square = std::fma(static_cast<double>(code[j]), static_cast<double>(code[j]), square);
    const double norm = std::sqrt(square);
    if (!(norm > 0 && is_finite(norm))) return k;
    for (int64_t j = 0; j < n_dims; ++j)
      normalised[k * n_dims + j] = static_cast<T>(static_cast<double>(code[j]) / norm);
  }
  return -1;
}

template <class T>
CodeSearch<T>::CodeSearch(const T* codes, int64_t n_codes, int64_t n_dims, Metric metric)
    : panels_(codes, checked_count(n_codes, n_dims), n_dims), metric_(metric),
      largest_(largest_magnitude(codes, n_codes * n_dims)) {
  if (!is_finite(largest_)) throw std::invalid_argument("codebook: expected finite numbers");
  const FloatEnvironment environment;
  check_interrupt();  // here and below: each part of a large codebook takes long enough to wait for
  if (metric == Metric::l2 && CodeBoxes<T>::worth_building(n_codes, n_dims))
    boxes_ = CodeBoxes<T>(codes, n_codes, n_dims);
  check_interrupt();
  filter_ = FilterCodes<T>(codes, n_codes, n_dims, metric != Metric::l2);
  check_interrupt();
  if (CoarseCodes<T>::worth_building(n_codes, n_dims) && coarse_kernels(active_isa()) != nullptr)
    coarse_ = CoarseCodes<T>(codes, n_codes, n_dims, filter_);
}

template <class T> RowFault CodeSearch<T>::fault_of(const T* row) const {
  const int64_t n_dims = panels_.n_dims();
  const T largest = largest_magnitude(row, n_dims);
  if (!is_finite(largest)) return RowFault::not_finite;
  if (metric_ == Metric::l2) return RowFault::none;
  if (metric_ == Metric::cosine && largest == 0) return RowFault::zero;
  // A product overflows only where this bound on every partial sum does; then each chain is looked at.
  const double bound =
      static_cast<double>(largest) * static_cast<double>(largest_) * static_cast<double>(n_dims) *
      (1 + static_cast<double>(n_dims) * static_cast<double>(std::numeric_limits<T>::epsilon()));
  if (bound < static_cast<double>(std::numeric_limits<T>::max())) return RowFault::none;
  for (int64_t code = 0; code < panels_.n_codes(); ++code) {
    const T* c = panels_.code(code);
    T p = 0;
    for (int64_t j = 0; j < n_dims; ++j) p = std::fma(row[j], c[j * kPanelCodes], p);
    if (!is_finite(p)) return RowFault::overflow;
  }
  return RowFault::none;
}

template <class T>
RowFaults CodeSearch<T>::search(const RowsView<T>& rows, const Neighbours<T>& out, int threads) const {
  const int64_t n_dims = panels_.n_dims(), n_codes = panels_.n_codes();
  if (out.k < 1 || out.k > n_codes) throw std::invalid_argument("k: expected 1 to the number of codes");
  // The margin needs the second neighbour, the result may not.
  const int64_t listed = out.margin != nullptr ? std::min(n_codes, std::max<int64_t>(out.k, 2)) : out.k;
  const BlockSearch<T> route(panels_, boxes_, filter_, coarse_, metric_ != Metric::l2, active_isa());
  FaultCount faults;
  RouteExperience experience;

  const auto refuse = [&](int64_t row, RowFault fault) {
    faults.add(row, fault);
    write_refused(out, row);
  };
  // Packs the valid rows from `first` on.
  const auto take = [&](int64_t first, int64_t last, Block<T>& block) {
    block.x.clear();
    block.rows.clear();
    for (int64_t row = first; row < last; ++row) {
      const T* x = rows.x + row * n_dims;
      const bool masked = rows.mask != nullptr && rows.mask[row] == 0;
      const RowFault fault = masked ? RowFault::masked : fault_of(x);
      if (fault == RowFault::none) {
        block.x.insert(block.x.end(), x, x + n_dims);
        block.rows.push_back(row);
        continue;
      }
      if (masked)
        write_refused(out, row);
      else
        refuse(row, fault);
    }
  };
  const auto write = [&](int64_t row, const T* values, const int32_t* ids) {
    if (!is_finite(values[0])) return refuse(row, RowFault::overflow);
    std::copy_n(ids, out.k, out.ids + row * out.k);
    if (out.values != nullptr) std::copy_n(values, out.k, out.values + row * out.k);
    if (out.margin == nullptr) return;
    out.margin[row] = n_codes == 1 ? std::numeric_limits<T>::infinity() : std::abs(values[1] - values[0]);
  };
  // Most blocks hold valid rows alone, and the result is one neighbour each: nothing needs to be moved then.
  const auto direct = [&](int64_t first, int64_t n, Block<T>& block) {
    const T* x = rows.x + first * n_dims;
    if (metric_ != Metric::l2 || rows.mask != nullptr || listed != 1 || out.margin != nullptr) return false;
    if (!all_finite(x, n * n_dims)) return false;
    const NeighbourLists<T> own = block.empty_lists(n, 1);
    const NeighbourLists<T> lists{1, out.values == nullptr ? own.values : out.values + first, out.ids + first,
                                  own.found};
    route.find(x, n, lists, block.route, experience);
    if (!all_finite(lists.values, n))
      for (int64_t i = 0; i < n; ++i)
        if (!is_finite(lists.values[i])) refuse(first + i, RowFault::overflow);
    return true;
  };
  const auto search_rows = [&](int64_t begin, int64_t end) {
    Block<T> block;
    for (int64_t first = begin; first < end; first += kBlockRows) {
      const int64_t last = std::min(end, first + kBlockRows);
      if (direct(first, last - first, block)) continue;
      take(first, last, block);
      const auto n = static_cast<int64_t>(block.rows.size());
      const NeighbourLists<T> lists = block.empty_lists(n, listed);
      route.find(block.x.data(), n, lists, block.route, experience);
      for (int64_t i = 0; i < n; ++i)
        write(block.rows[static_cast<size_t>(i)], lists.values + i * listed, lists.ids + i * listed);
    }
  };
  // Whole blocks, where there are enough of them for every thread.
  const int64_t worth_handing_out =
      kGrainWork / (panels_.n_panels() * kPanelCodes * n_dims) / kBlockRows * kBlockRows;
  const int64_t share = (rows.n + checked_threads(threads) - 1) / checked_threads(threads);
  const int64_t grain = std::max({int64_t{1}, worth_handing_out, std::min(kBlockRows, share)});
  parallel_for(rows.n, grain, threads, search_rows);
  return faults.get();
}

template int64_t normalise_codes<float>(const float*, int64_t, int64_t, float*);
template int64_t normalise_codes<double>(const double*, int64_t, int64_t, double*);
template class CodeSearch<float>;
template class CodeSearch<double>;

}  // namespace evtok
