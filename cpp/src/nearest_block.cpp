#include "evtok/nearest_block.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace evtok {
namespace {

// Bytes of codes that stay in L2 while the rows of a block pass over them.
constexpr int64_t kRangeBytes = int64_t{1} << 17;
// A box or a code looked at through boxes costs as much as so many codes behind the filter (measured, D = 8
// to 64).
constexpr int64_t kBoxCost = 4;
// Rows that tell whether boxes pay, and rows after which nothing more is counted.
constexpr int64_t kBoxTrials = 4, kEnoughTrials = 1024;
// The coarse stage does not pay where it gives up more than one row in so many; a first few are no sign.
constexpr int64_t kGivenUp = 16, kFewGivenUp = 4;
// Fewer rows are not worth a trial.
constexpr int64_t kBlockWorthTrying = 32;

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

}  // namespace

template <class T> ScanPanels<T> scan_panels_for(Isa isa, bool dot) {
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

template <class T> ScanPanels<T> scan_small_for(Isa isa) {
#ifdef EVTOK_X86
  if constexpr (std::is_same_v<T, float>) {
    if (isa >= Isa::avx512) return scan_small_f32_avx512;
    if (isa >= Isa::avx2) return scan_small_f32_avx2;
  } else {
    if (isa >= Isa::avx512) return scan_small_f64_avx512;
    if (isa >= Isa::avx2) return scan_small_f64_avx2;
  }
#else
  (void)isa;
#endif
  return nullptr;
}

template <class T> SearchBoxes<T> search_boxes_for(Isa isa) {
#ifdef EVTOK_X86
  if constexpr (std::is_same_v<T, float>) {
    if (isa >= Isa::avx512) return search_boxes_f32_avx512;
    if (isa >= Isa::avx2) return search_boxes_f32_avx2;
  } else {
    if (isa >= Isa::avx512) return search_boxes_f64_avx512;
    if (isa >= Isa::avx2) return search_boxes_f64_avx2;
  }
#else
  (void)isa;
#endif
  return nullptr;
}

template <class T>
BlockSearch<T>::BlockSearch(const CodePanels<T>& panels, const CodeBoxes<T>& boxes,
                            const FilterCodes<T>& filter, const CoarseCodes<T>& coarse, bool dot, Isa isa)
    : panels_(panels), boxes_(boxes), filter_(filter), scan_(scan_panels_for<T>(isa, dot)),
      scan_small_(dot || panels.n_codes() > kSmallCodes || panels.n_dims() > kSmallDims
                      ? nullptr
                      : scan_small_for<T>(isa)),
      search_boxes_(boxes.usable() ? search_boxes_for<T>(isa) : nullptr),
      kernels_(filter.usable() ? filter_kernels(isa) : nullptr), coarse_(coarse, filter, dot, isa) {}

template <class T>
void BlockSearch<T>::find(const T* x, int64_t n_rows, const NeighbourLists<T>& lists, RouteMemory<T>& memory,
                          RouteExperience& experience) const {
  if (scan_small_ != nullptr && lists.k == 1) {
    scan_small_(range(0, panels_.n_panels()), x, n_rows, lists);
    return;
  }
  if (search_boxes_ != nullptr) {
    if (boxes_pay(experience)) {
      through_boxes(x, n_rows, lists, memory, experience);
      return;
    }
    // Clustered rows may need few boxes where others need them all: a few rows tell.
    const int64_t missing = kBoxTrials - experience.rows.load(std::memory_order_relaxed);
    const int64_t n = n_rows < kBlockWorthTrying ? 0 : std::clamp<int64_t>(missing, 0, n_rows);
    through_boxes(x, n, lists, memory, experience);
    x += n * panels_.n_dims();
    n_rows -= n;
    const NeighbourLists<T> rest{lists.k, lists.values + n * lists.k, lists.ids + n * lists.k,
                                 lists.found + n};
    without_boxes(x, n_rows, rest, memory, experience);
    return;
  }
  without_boxes(x, n_rows, lists, memory, experience);
}

template <class T> bool BlockSearch<T>::boxes_pay(const RouteExperience& experience) const {
  const int64_t rows = experience.rows.load(std::memory_order_relaxed);
  if (rows >= kBoxTrials)
    return experience.looked_at.load(std::memory_order_relaxed) * kBoxCost < rows * panels_.n_codes();
  // A guess until then: each halving of the codes must cut most dimensions once.
  return std::log2(static_cast<double>(panels_.n_codes()) / kBoxFan) >=
         0.75 * static_cast<double>(panels_.n_dims());
}

template <class T>
void BlockSearch<T>::through_boxes(const T* x, int64_t n_rows, const NeighbourLists<T>& lists,
                                   RouteMemory<T>& memory, RouteExperience& experience) const {
  if (n_rows == 0) return;
  const BoxView<T> view = boxes_.view();
  memory.bounds.resize(static_cast<size_t>(kBoxRows * std::max(view.n_branches, kFewLeaves)));
  const int64_t looked_at = search_boxes_(view, x, n_rows, lists, memory.bounds.data());
  if (experience.rows.load(std::memory_order_relaxed) >= kEnoughTrials) return;
  experience.looked_at.fetch_add(looked_at, std::memory_order_relaxed);
  experience.rows.fetch_add(n_rows, std::memory_order_relaxed);
}

template <class T>
void BlockSearch<T>::without_boxes(const T* x, int64_t n_rows, const NeighbourLists<T>& lists,
                                   RouteMemory<T>& memory, RouteExperience& experience) const {
  if (kernels_ != nullptr && lists.k == 1)
    filtered(x, n_rows, lists, memory, experience);
  else
    every_code(x, n_rows, lists);
}

template <class T> PanelRange<T> BlockSearch<T>::range(int64_t panel, int64_t n) const {
  const int64_t panel_values = panels_.n_dims() * kPanelCodes;
  return {panels_.values() + panel * panel_values, std::min(n, panels_.n_panels() - panel), panels_.n_dims(),
          panel * kPanelCodes, panels_.n_codes()};
}

template <class T>
void BlockSearch<T>::every_code(const T* x, int64_t n_rows, const NeighbourLists<T>& lists) const {
  const int64_t panel_bytes = panels_.n_dims() * kPanelCodes * static_cast<int64_t>(sizeof(T));
  const int64_t at_once = std::max<int64_t>(1, kRangeBytes / panel_bytes);
  for (int64_t panel = 0; panel < panels_.n_panels(); panel += at_once)
    scan_(range(panel, at_once), x, n_rows, lists);
}

template <class T>
void BlockSearch<T>::filtered(const T* x, int64_t n_rows, const NeighbourLists<T>& lists,
                              RouteMemory<T>& memory, RouteExperience& experience) const {
  const int64_t n_dims = panels_.n_dims(), row_values = 2 * filter_.n_pairs();
  memory.rounded.resize(static_cast<size_t>(n_rows * row_values));
  memory.slack.resize(static_cast<size_t>(n_rows));
  for (int64_t r = 0; r < n_rows; ++r)
    memory.slack[static_cast<size_t>(r)] =
        filter_.round_row(x + r * n_dims, memory.rounded.data() + r * row_values);

  if (!coarse_.usable() || !coarse_pays(experience)) {
    by_groups(x, 0, n_rows, lists, memory);
    return;
  }
  const int64_t given_up =
      coarse_.find(x, n_rows, {memory.rounded.data(), memory.slack.data()}, lists, memory.coarse);
  if (experience.coarse_rows.load(std::memory_order_relaxed) < kEnoughTrials) {
    experience.given_up.fetch_add(given_up, std::memory_order_relaxed);
    experience.coarse_rows.fetch_add(n_rows, std::memory_order_relaxed);
  }
  for (int64_t first = 0, last = 0; first < n_rows; first = last) {  // each run of rows with an empty list
    for (last = first; last < n_rows && lists.found[last] == 0;) ++last;
    if (last > first) by_groups(x, first, last - first, lists, memory);
    while (last < n_rows && lists.found[last] != 0) ++last;
  }
}

template <class T> bool BlockSearch<T>::coarse_pays(const RouteExperience& experience) const {
  return (experience.given_up.load(std::memory_order_relaxed) - kFewGivenUp) * kGivenUp <=
         experience.coarse_rows.load(std::memory_order_relaxed);
}

// Rows [first, first + n_rows) of the block, by the filter's groups alone.
template <class T>
void BlockSearch<T>::by_groups(const T* x, int64_t first, int64_t n_rows, const NeighbourLists<T>& lists,
                               RouteMemory<T>& memory) const {
  const int64_t n_dims = panels_.n_dims(), n_groups = filter_.n_groups(), row_values = 2 * filter_.n_pairs();
  const int64_t row_minima = n_groups * kernels_->lanes;
  memory.minima.resize(static_cast<size_t>(n_rows * row_minima));
  memory.groups.resize(static_cast<size_t>(n_groups));

  const int64_t group_bytes = filter_.group_codes() * row_values * static_cast<int64_t>(sizeof(int16_t));
  const int64_t at_once = std::max<int64_t>(1, kRangeBytes / group_bytes);
  for (int64_t group = 0; group < n_groups; group += at_once)
    kernels_->minima(filter_.view(group, std::min(at_once, n_groups - group)),
                     memory.rounded.data() + first * row_values, n_rows, n_groups,
                     memory.minima.data() + group * kernels_->lanes);

  const int64_t group_panels = filter_.group_codes() / kPanelCodes;
  for (int64_t r = first; r < first + n_rows; ++r) {
    const NeighbourLists<T> list{1, lists.values + r, lists.ids + r, lists.found + r};
    const double slack = memory.slack[static_cast<size_t>(r)];
    if (slack < 0) {
      every_code(x + r * n_dims, 1, list);
      continue;
    }
    const int32_t* minima = memory.minima.data() + (r - first) * row_minima;
    const int32_t threshold = filter_.threshold(kernels_->smallest(minima, n_groups), slack);
    const int64_t n_left = kernels_->groups_within(minima, n_groups, threshold, memory.groups.data());
    for (int64_t i = 0; i < n_left; ++i)  // in increasing order, as the lists want
      scan_(range(memory.groups[static_cast<size_t>(i)] * group_panels, group_panels), x + r * n_dims, 1,
            list);
  }
}

template ScanPanels<float> scan_panels_for<float>(Isa, bool);
template ScanPanels<double> scan_panels_for<double>(Isa, bool);
template class BlockSearch<float>;
template class BlockSearch<double>;

}  // namespace evtok
