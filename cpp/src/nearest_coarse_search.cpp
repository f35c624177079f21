#include "evtok/nearest_coarse_search.hpp"

#include <algorithm>
#include <type_traits>

namespace evtok {
namespace {

// Bytes of codes that stay in L1 while the rows of a block pass over them.
constexpr int64_t kRangeBytes = int64_t{1} << 14;
// A row is given up where more than one code in so many needs its e: the filter is as fast then.
constexpr int64_t kFewLeft = 16;
// Codes that get their e together, before they lower the limit for the rest.
constexpr size_t kBatch = 16;

}  // namespace

template <class T>
CoarseSearch<T>::CoarseSearch(const CoarseCodes<T>& coarse, const FilterCodes<T>& filter, bool dot, Isa isa)
    : coarse_(coarse), filter_(filter), dot_(dot),
      kernels_(coarse.usable() && filter.usable() ? coarse_kernels(isa) : nullptr),
      lanes_(filter_kernels(isa)) {}

// The codes of a cell: those whose estimates share a minimum.
template <class T> void CoarseSearch<T>::add_codes(int64_t cell, std::vector<int32_t>& ids) const {
  const int64_t group_codes = coarse_.group_panels() * kFilterPanel;
  const int64_t group = cell / lanes_->lanes, lane = cell % lanes_->lanes;
  const int64_t end = std::min((group + 1) * group_codes, coarse_.n_codes());
  for (int64_t k = group * group_codes + lane; k < end; k += lanes_->lanes)
    ids.push_back(static_cast<int32_t>(k));
}

// e of the codes of memory.batch, into memory.products.
template <class T> void CoarseSearch<T>::estimate(CoarseMemory<T>& memory) const {
  memory.products.resize(memory.batch.size());
  kernels_->products(memory.row.data(), coarse_.integers(), coarse_.n_padded(), memory.batch.data(),
                     static_cast<int64_t>(memory.batch.size()), memory.products.data());
  for (size_t i = 0; i < memory.batch.size(); ++i) memory.products[i] += coarse_.bias(memory.batch[i]);
}

// Leaves the codes that the filter keeps in memory.left; false where it takes too many estimates.
template <class T>
bool CoarseSearch<T>::codes_left(const int32_t* minima, double slack, double error,
                                 CoarseMemory<T>& memory) const {
  const int64_t n_groups = coarse_.n_groups(), n_cells = n_groups * lanes_->lanes;
  const int64_t cell_codes = coarse_.group_panels() * kFilterPanel / lanes_->lanes;
  int32_t* cells = memory.cells.data();
  memory.batch.clear();
  add_codes(std::find(minima, minima + n_cells, lanes_->smallest(minima, n_groups)) - minima, memory.batch);
  estimate(memory);
  int32_t lowest = *std::min_element(memory.products.begin(), memory.products.end());  // e so far
  int32_t threshold = filter_.threshold(lowest, slack), limit = coarse_.limit(threshold, error);
  const int64_t n_left = kernels_->places_within(minima, n_cells, limit, cells);
  int64_t affordable = std::max(coarse_.n_codes() / kFewLeft, 4 * cell_codes);
  memory.left.clear();
  for (int64_t i = 0; i < n_left;) {
    memory.batch.clear();
    for (; i < n_left && memory.batch.size() < kBatch; ++i) {
      if (minima[cells[i]] > limit) continue;  // it has become lower
      affordable -= cell_codes;
      if (affordable < 0) return false;
      add_codes(cells[i], memory.batch);
    }
    estimate(memory);
    for (size_t b = 0; b < memory.batch.size(); ++b) {
      const int32_t e = memory.products[b];
      if (e > threshold) continue;
      memory.left.push_back({memory.batch[b], e});
      if (e >= lowest) continue;
      lowest = e;
      threshold = filter_.threshold(lowest, slack);
      limit = coarse_.limit(threshold, error);
    }
  }
  std::erase_if(memory.left, [&](const auto& code) { return code.estimate > threshold; });
  return true;
}

template <class T>
int64_t CoarseSearch<T>::find(const T* x, int64_t n_rows, const RoundedRows& rounded,
                              const NeighbourLists<T>& lists, CoarseMemory<T>& memory) const {
  const int64_t n_dims = coarse_.n_dims(), n_groups = coarse_.n_groups(), row_bytes = coarse_.n_quads() * 4;
  const int64_t row_minima = n_groups * lanes_->lanes, row_values = 2 * filter_.n_pairs();
  memory.bytes.resize(static_cast<size_t>(n_rows * row_bytes));
  memory.errors.resize(static_cast<size_t>(n_rows));
  memory.minima.resize(static_cast<size_t>(n_rows * row_minima));
  memory.cells.resize(static_cast<size_t>(row_minima));
  memory.row.assign(static_cast<size_t>(coarse_.n_padded()), 0);
  memory.pairs.clear();
  memory.rows.clear();
  memory.ids.clear();
  for (int64_t r = 0; r < n_rows; ++r) {
    const CoarseRow row = kernels_->round_row(rounded.integers + r * row_values, n_dims, coarse_.step(),
                                              coarse_.n_quads(), memory.bytes.data() + r * row_bytes);
    memory.errors[static_cast<size_t>(r)] = rounded.slack[r] < 0 ? -1 : coarse_.error(row);
  }
  const int64_t group_bytes = coarse_.group_panels() * kFilterPanel * row_bytes;
  const int64_t at_once = std::max<int64_t>(1, kRangeBytes / group_bytes);
  for (int64_t group = 0; group < n_groups; group += at_once)
    kernels_->minima(coarse_.view(group, std::min(at_once, n_groups - group)), memory.bytes.data(), n_rows,
                     n_groups, memory.minima.data() + group * lanes_->lanes);
  int64_t n_given_up = 0;
  for (int64_t r = 0; r < n_rows; ++r) {
    const double error = memory.errors[static_cast<size_t>(r)];
    std::copy_n(rounded.integers + r * row_values, n_dims, memory.row.data());
    if (error < 0 || !codes_left(memory.minima.data() + r * row_minima, rounded.slack[r], error, memory)) {
      ++n_given_up;
      continue;
    }
    for (const auto& code : memory.left) {
      memory.pairs.push_back({x + r * n_dims, coarse_.code(code.id)});
      memory.rows.push_back(static_cast<int32_t>(r));
      memory.ids.push_back(code.id);
    }
  }
  decide(lists, memory);
  return n_given_up;
}

// The specification for all pairs. They come in any order of their codes: the lowest index wins a tie.
template <class T>
void CoarseSearch<T>::decide(const NeighbourLists<T>& lists, CoarseMemory<T>& memory) const {
  const size_t n = memory.pairs.size();
  memory.values.resize(n);
  const auto count = static_cast<int64_t>(n);
  if constexpr (std::is_same_v<T, float>)
    kernels_->chains_f32(memory.pairs.data(), count, coarse_.n_dims(), dot_, memory.values.data());
  else
    kernels_->chains_f64(memory.pairs.data(), count, coarse_.n_dims(), dot_, memory.values.data());
  for (size_t i = 0; i < n; ++i) {
    const int32_t row = memory.rows[i];
    const T value = memory.values[i], best = lists.values[row];
    const bool nearer = dot_ ? value > best : value < best;
    const bool first_of_equals = value == best && memory.ids[i] < lists.ids[row];
    if (lists.found[row] != 0 && !nearer && !first_of_equals) continue;
    lists.values[row] = value;
    lists.ids[row] = memory.ids[i];
    lists.found[row] = 1;
  }
}

template class CoarseSearch<float>;
template class CoarseSearch<double>;

}  // namespace evtok
