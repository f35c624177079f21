#include "evtok/nearest.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "evtok/isa.hpp"
#include "evtok/nearest_scan.hpp"
#include "evtok/parallel.hpp"

namespace evtok {
namespace {

template <class T> struct OneLane {
  using Value = T;
  using Vector = T;
  static constexpr int width = 1, tile_rows = 1, tile_vectors = 1, row_vectors = 1;
  static EVTOK_FORMULA T zero() { return 0; }
  static EVTOK_FORMULA T all(T x) { return x; }
  static EVTOK_FORMULA T load(const T* p) { return *p; }
  static EVTOK_FORMULA void store(T* p, T a) { *p = a; }
  static EVTOK_FORMULA T sub(T a, T b) { return a - b; }
  static EVTOK_FORMULA T fma(T a, T b, T c) { return std::fma(a, b, c); }
  template <bool kLarger, int kVectors>
  static EVTOK_FORMULA bool any_beats(const T (&s)[kVectors], T threshold) {
    return kLarger ? !(s[0] <= threshold) : !(s[0] >= threshold);
  }
};

template <class T, bool kDot>
void scan_scalar(const PanelRange<T>& codes, const T* x, int64_t n_rows, const NeighbourLists<T>& lists) {
  scan_panels<OneLane<T>, kDot>(codes, x, n_rows, lists);
}

template <class T> ScanPanels<T> scan_for(Isa isa, bool dot) {
#ifdef EVTOK_X86
  if constexpr (std::is_same_v<T, float>) {
    if (isa >= Isa::avx512) return dot ? scan_dot_f32_avx512 : scan_l2_f32_avx512;
    if (isa >= Isa::avx2) return dot ? scan_dot_f32_avx2 : scan_l2_f32_avx2;
  } else {
    if (isa >= Isa::avx512) return dot ? scan_dot_f64_avx512 : scan_l2_f64_avx512;
    if (isa >= Isa::avx2) return dot ? scan_dot_f64_avx2 : scan_l2_f64_avx2;
  }
#else
  (void)isa;
#endif
  return dot ? scan_scalar<T, true> : scan_scalar<T, false>;
}

template <class T> T largest_magnitude(const T* x, int64_t n) {
  T largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    const T magnitude = std::abs(x[i]);
    if (!(magnitude <= largest)) largest = magnitude;  // NaN stays
  }
  return largest;
}

template <class T> RowFault fault_of_values(const T* row, int64_t n_dims, Metric metric) {
  const T largest = largest_magnitude(row, n_dims);
  if (!(largest <= std::numeric_limits<T>::max())) return RowFault::not_finite;
  return metric == Metric::cosine && largest == 0 ? RowFault::zero : RowFault::none;
}

// Rows of a block: few enough that their lists stay in L1, enough to read a range of panels for all of them.
constexpr int64_t kBlockRows = 64;
// Bytes of a range of panels: it stays in L2 while the rows of a block pass over it.
constexpr int64_t kRangeBytes = int64_t{1} << 17;
// Multiply-adds of a chunk of rows: about 50 µs of work, worth handing to a thread.
constexpr int64_t kGrainWork = int64_t{1} << 21;

// Results of the rows that were refused, over all threads.
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

// One block of rows: the valid ones, packed, with their lists.
template <class T> struct Block {
  std::vector<T> x;            // (rows, n_dims)
  std::vector<int64_t> rows;   // index of each in the whole input
  std::vector<T> values;       // (rows, k)
  std::vector<int32_t> ids;    // (rows, k)
  std::vector<int64_t> found;  // (rows,)
};

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
    if (!(norm > 0 && norm <= std::numeric_limits<double>::max())) return k;
    for (int64_t j = 0; j < n_dims; ++j)
      normalised[k * n_dims + j] = static_cast<T>(static_cast<double>(code[j]) / norm);
  }
  return -1;
}

template <class T>
CodeSearch<T>::CodeSearch(const T* codes, int64_t n_codes, int64_t n_dims, Metric metric)
    : panels_(codes, n_codes, n_dims), metric_(metric), largest_(largest_magnitude(codes, n_codes * n_dims)) {
  if (n_codes < 1 || n_dims < 1)
    throw std::invalid_argument("codebook: expected at least one code of at least one dimension");
  if (n_codes > std::numeric_limits<int32_t>::max())
    throw std::length_error("codebook: expected fewer than 2^31 codes, got " + std::to_string(n_codes));
  if (!(largest_ <= std::numeric_limits<T>::max()))
    throw std::invalid_argument("codebook: expected finite numbers");
}

template <class T>
RowFaults CodeSearch<T>::search(const RowsView<T>& rows, const Neighbours<T>& out, int threads) const {
  const int64_t n_dims = panels_.n_dims(), n_codes = panels_.n_codes(), n_panels = panels_.n_panels();
  if (out.k < 1 || out.k > n_codes) throw std::invalid_argument("k: expected 1 to the number of codes");
  const bool dot = metric_ != Metric::l2;
  const ScanPanels<T> scan = scan_for<T>(active_isa(), dot);
  // The margin needs the second neighbour, the result may not.
  const int64_t listed = out.margin != nullptr ? std::min(n_codes, std::max<int64_t>(out.k, 2)) : out.k;
  const int64_t panel_values = n_dims * kPanelCodes;
  const int64_t panels_at_once =
      std::max<int64_t>(1, kRangeBytes / (panel_values * static_cast<int64_t>(sizeof(T))));
  const int64_t grain = std::max<int64_t>(1, kGrainWork / (n_panels * panel_values));
  FaultCount faults;

  // A product overflows only where this bound on every partial sum does; then each chain is looked at.
  const auto may_overflow = [&](const T* x) {
    return !(static_cast<double>(largest_magnitude(x, n_dims)) * static_cast<double>(largest_) *
                 static_cast<double>(n_dims) * 1.01 <
             static_cast<double>(std::numeric_limits<T>::max()));
  };
  const auto product_overflows = [&](const T* x) {
    for (int64_t code = 0; code < n_codes; ++code) {
      const T* c = panels_.values() + (code / kPanelCodes) * panel_values + code % kPanelCodes;
      T p = 0;
      for (int64_t j = 0; j < n_dims; ++j) p = std::fma(x[j], c[j * kPanelCodes], p);
      if (!(std::abs(p) <= std::numeric_limits<T>::max())) return true;
    }
    return false;
  };

  parallel_for(rows.n, grain < kBlockRows ? grain : grain / kBlockRows * kBlockRows, threads,
               [&](int64_t begin, int64_t end) {
                 Block<T> block;
                 for (int64_t first = begin; first < end; first += kBlockRows) {
                   block.x.clear();
                   block.rows.clear();
                   for (int64_t row = first; row < std::min(end, first + kBlockRows); ++row) {
                     const T* x = rows.x + row * n_dims;
                     const bool masked = rows.mask != nullptr && rows.mask[row] == 0;
                     RowFault fault = masked ? RowFault::masked : fault_of_values(x, n_dims, metric_);
                     if (fault == RowFault::none && dot && may_overflow(x) && product_overflows(x))
                       fault = RowFault::overflow;
                     if (fault != RowFault::none) {
                       if (!masked) faults.add(row, fault);
                       write_refused(out, row);
                       continue;
                     }
                     block.x.insert(block.x.end(), x, x + n_dims);
                     block.rows.push_back(row);
                   }
                   const auto n = static_cast<int64_t>(block.rows.size());
                   block.values.resize(static_cast<size_t>(n * listed));
                   block.ids.resize(static_cast<size_t>(n * listed));
                   block.found.assign(static_cast<size_t>(n), 0);
                   const NeighbourLists<T> lists{listed, block.values.data(), block.ids.data(),
                                                 block.found.data()};
                   for (int64_t panel = 0; panel < n_panels; panel += panels_at_once) {
                     const PanelRange<T> range{panels_.values() + panel * panel_values,
                                               std::min(panels_at_once, n_panels - panel), n_dims,
                                               panel * kPanelCodes, n_codes};
                     scan(range, block.x.data(), n, lists);
                   }
                   for (int64_t i = 0; i < n; ++i) {
                     const int64_t row = block.rows[static_cast<size_t>(i)];
                     const T* values = lists.values + i * listed;
                     if (!(std::abs(values[0]) <= std::numeric_limits<T>::max())) {
                       faults.add(row, RowFault::overflow);
                       write_refused(out, row);
                       continue;
                     }
                     std::copy_n(lists.ids + i * listed, out.k, out.ids + row * out.k);
                     if (out.values != nullptr) std::copy_n(values, out.k, out.values + row * out.k);
                     if (out.margin != nullptr)
                       out.margin[row] = n_codes == 1 ? std::numeric_limits<T>::infinity()
                                         : dot        ? values[0] - values[1]
                                                      : values[1] - values[0];
                   }
                 }
               });
  return faults.get();
}

template int64_t normalise_codes<float>(const float*, int64_t, int64_t, float*);
template int64_t normalise_codes<double>(const double*, int64_t, int64_t, double*);
template class CodeSearch<float>;
template class CodeSearch<double>;

}  // namespace evtok
