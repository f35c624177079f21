// Nearest code: every route on every instruction set against the definition in nearest_data.hpp, and the
// proof of the filter's bound on numbers. Tolerance class: equality.
//
// With EVTOK_EMULATED_AVX512 the AVX-512 files are linked as emulated by SIMDe, and are tested on any CPU.
#include "evtok/nearest.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "evtok/isa.hpp"
#include "evtok/nearest_block.hpp"
#include "nearest_data.hpp"

namespace {

using namespace evtok;
using namespace evtok_test;

template <class T> using Limits = std::numeric_limits<T>;

#ifdef EVTOK_EMULATED_AVX512
constexpr bool kEmulated = true;
#else
constexpr bool kEmulated = false;
#endif

std::vector<Isa> tested_isas() {
  if (kEmulated) return {Isa::avx512, Isa::avx512_bf16};
  std::vector<Isa> tested;
  for (int i = 0; i < kIsaCount; ++i)
    if (isa_available(static_cast<Isa>(i))) tested.push_back(static_cast<Isa>(i));
  if (evtok_test::kFewerInputs && tested.size() > 1) tested.erase(tested.begin());  // scalar, the slowest
  return tested;
}

struct Shape {
  int64_t n_codes, n_dims;
};

// Around the panels, boxes, branches and groups; dimensions with kernels of their own and without.
std::vector<Shape> shapes() {
  std::vector<Shape> all;
  for (const int64_t n_codes : {1, 2, 31, 33, 64, 65, 97, 256, 257, 513})
    for (const int64_t n_dims : {1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 33}) all.push_back({n_codes, n_dims});
  all.push_back({1100, 2});  // more leaves than a mask holds
  all.push_back({4500, 2});  // more than one group of branches
  return all;
}

// ---- routes ---------------------------------------------------------------------------------------------

enum class Route { every_code, boxes, filter, coarse };

// Rows whose experience says that boxes always pay, or never.
void force(RouteExperience& experience, bool boxes) {
  experience.rows = int64_t{1} << 20;
  experience.looked_at = boxes ? 0 : int64_t{1} << 50;
}

template <class T> Found<T> by_route(const Problem<T>& problem, Route route, bool dot, int64_t k, Isa isa) {
  const CodePanels<T> panels(problem.codes.data(), problem.n_codes, problem.n_dims);
  CodeBoxes<T> boxes;
  if (!dot) boxes = CodeBoxes<T>(problem.codes.data(), problem.n_codes, problem.n_dims);
  FilterCodes<T> filter;
  if (route == Route::filter || route == Route::coarse)
    filter = FilterCodes<T>(problem.codes.data(), problem.n_codes, problem.n_dims, dot);
  CoarseCodes<T> coarse;
  if (route == Route::coarse)
    coarse = CoarseCodes<T>(problem.codes.data(), problem.n_codes, problem.n_dims, filter);
  const BlockSearch<T> search(panels, boxes, filter, coarse, dot, isa);
  Found<T> found{std::vector<int32_t>(static_cast<size_t>(problem.n * k), -7),
                 std::vector<T>(static_cast<size_t>(problem.n * k), T(-7))};
  std::vector<int64_t> lengths(static_cast<size_t>(problem.n), 0);
  RouteMemory<T> memory;
  RouteExperience experience;
  force(experience, route == Route::boxes);
  search.find(problem.x.data(), problem.n, {k, found.values.data(), found.ids.data(), lengths.data()}, memory,
              experience);
  for (const int64_t length : lengths) CHECK(length == k);
  return found;
}

// For each k, which increase.
template <class T>
void check_routes(const Problem<T>& problem, bool dot, const std::vector<int64_t>& ks, Isa isa,
                  const char* what) {
  const Found<T> expected = by_definition(problem, dot, ks.back());
  for (const int64_t k : ks)
    for (const Route route : {Route::every_code, Route::boxes, Route::filter, Route::coarse}) {
      if (route == Route::boxes && dot) continue;
      if ((route == Route::filter || route == Route::coarse) && k > 1) continue;
      if (route != Route::every_code && isa == Isa::scalar) continue;  // it has this one alone
      const bool same = by_route(problem, route, dot, k, isa) == first_of(expected, ks.back(), k);
      CHECK(same);
      if (!same)
        std::printf("  %s, %s, route %d, %s, K = %d, D = %d, k = %d, %zu bytes\n", what, isa_name(isa),
                    static_cast<int>(route), dot ? "dot" : "l2", static_cast<int>(problem.n_codes),
                    static_cast<int>(problem.n_dims), static_cast<int>(k), sizeof(T));
    }
}

// Products of these do not overflow: nearest.hpp refuses such rows before the search.
bool has_products(Kind kind) {
  return kind != Kind::large && kind != Kind::any_bits && kind != Kind::heavy_tailed;
}

template <class T> void test_routes(Isa isa) {
  Random random(1);
  for (const Shape& shape : shapes())
    for (const Kind kind : kKinds) {
      const auto problem = make_problem<T>(kind, 9, shape.n_codes, shape.n_dims, random);
      std::vector<int64_t> ks = {1};
      if (shape.n_codes > 2) ks.push_back(3);
      check_routes(problem, false, ks, isa, "routes");
      if (has_products(kind)) check_routes(problem, true, {1}, isa, "routes");
    }
}

template <class T> void test_every_k(Isa isa) {
  Random random(2);
  std::vector<int64_t> ks;
  for (int64_t k = 1; k <= 70; ++k) ks.push_back(k);
  for (const Kind kind : {Kind::gaussian, Kind::grid, Kind::few})
    for (const int64_t n_dims : {2, 9})
      for (const bool dot : {false, true})
        check_routes(make_problem<T>(kind, 5, 70, n_dims, random), dot, ks, isa, "k");
}

template <class T> void test_every_number_of_rows(Isa isa) {
  Random random(3);
  for (int64_t n = 0; n <= 70; ++n)
    for (const Shape& shape : {Shape{100, 3}, Shape{70, 16}, Shape{70, 3}})
      check_routes(make_problem<T>(Kind::gaussian, n, shape.n_codes, shape.n_dims, random), false, {1}, isa,
                   "rows");
}

// ---- the boxes --------------------------------------------------------------------------------------------

// Each code is in one leaf, and in the boxes of its leaf and branch.
template <class T> void test_boxes_hold_their_codes() {
  Random random(4);
  for (const int64_t n_codes : {1, 16, 17, 255, 257, 4097, 33000})  // the last one by several threads
    for (const Kind kind : {Kind::gaussian, Kind::grid, Kind::any_bits, Kind::few}) {
      constexpr int64_t n_dims = 3;
      const auto problem = make_problem<T>(kind, 1, n_codes, n_dims, random);
      const CodeBoxes<T> boxes(problem.codes.data(), n_codes, n_dims);
      const BoxView<T> view = boxes.view();
      CHECK(view.n_branches % kBoxFan == 0 && view.n_branches >= view.n_filled);
      CHECK((view.n_filled - 1) * kBoxFan * kBoxFan < n_codes &&
            n_codes <= view.n_filled * kBoxFan * kBoxFan);
      std::vector<int> seen(static_cast<size_t>(n_codes), 0);
      bool inside = true;
      for (int64_t place = 0; place < view.n_filled * kBoxFan * kBoxFan; ++place) {
        const int32_t id = view.ids[place];
        const int64_t leaf = place / kBoxFan, branch = leaf / kBoxFan;
        for (int64_t j = 0; j < n_dims; ++j) {
          const T c = view.codes[(leaf * n_dims + j) * kBoxFan + place % kBoxFan];
          if (id == INT32_MAX) {
            inside &= c == Limits<T>::infinity();
            continue;
          }
          const T* of_leaf = view.leaves + ((branch * n_dims + j) * 2) * kBoxFan + leaf % kBoxFan;
          const T* of_branch =
              view.branches + ((branch / kBoxFan * n_dims + j) * 2) * kBoxFan + branch % kBoxFan;
          inside &= c == problem.code(id)[j];
          inside &= of_leaf[0] <= c && c <= of_leaf[kBoxFan] && of_branch[0] <= c && c <= of_branch[kBoxFan];
        }
        if (id != INT32_MAX) ++seen[static_cast<size_t>(id)];
      }
      CHECK(inside);
      CHECK(std::all_of(seen.begin(), seen.end(), [](int count) { return count == 1; }));
    }
}

// ---- the filter -------------------------------------------------------------------------------------------

// Estimates of all codes for a rounded row, with all digits.
template <class T>
std::vector<int64_t> estimates(const FilterCodes<T>& filter, const int16_t* rounded, int64_t n_codes) {
  const FilterView view = filter.view(0, filter.n_groups());
  std::vector<int64_t> result;
  for (int64_t k = 0; k < n_codes; ++k) {
    const int64_t panel = k / kFilterPanel, lane = k % kFilterPanel;
    int64_t sum = view.bias[k];
    for (int64_t j = 0; j < 2 * view.n_pairs; ++j)
      sum += int64_t{rounded[j]} *
             view.codes[((panel * view.n_pairs + j / 2) * kFilterPanel + lane) * 2 + j % 2];
    result.push_back(sum);
  }
  return result;
}

struct Bound {
  int64_t covered = 0;   // rows that the bound covers
  double used_most = 0;  // the largest part of the slack that a winner needed
};

// The inequality that the filter rests on, for every code that wins or ties.
template <class T> void check_bound(const Problem<T>& problem, bool dot, Bound& bound) {
  const FilterCodes<T> filter(problem.codes.data(), problem.n_codes, problem.n_dims, dot);
  if (!filter.usable()) return;
  std::vector<int16_t> rounded(static_cast<size_t>(2 * filter.n_pairs()));
  for (int64_t i = 0; i < problem.n; ++i) {
    const double slack = filter.round_row(problem.row(i), rounded.data());
    if (slack < 0) continue;
    ++bound.covered;
    const std::vector<int64_t> e = estimates(filter, rounded.data(), problem.n_codes);
    const auto [lowest, highest] = std::minmax_element(e.begin(), e.end());
    CHECK(*lowest >= INT32_MIN && *highest <= INT32_MAX);
    const int32_t threshold = filter.threshold(static_cast<int32_t>(*lowest), slack);
    std::vector<T> values;
    for (int64_t k = 0; k < problem.n_codes; ++k)
      values.push_back(defined_value(problem.row(i), problem.code(k), problem.n_dims, dot));
    const T best = dot ? *std::max_element(values.begin(), values.end())
                       : *std::min_element(values.begin(), values.end());
    CHECK(std::isfinite(best));
    for (size_t k = 0; k < values.size(); ++k) {
      if (values[k] != best) continue;
      CHECK(e[k] <= threshold);
      bound.used_most = std::max(bound.used_most, static_cast<double>(e[k] - *lowest) / slack);
    }
  }
}

template <class T> void test_bound() {
  Random random(5);
  Bound bound;
  for (const Kind kind : kKinds)
    for (const int64_t n_dims : {1, 2, 5, 16, 100})
      for (int repeat = 0; repeat < 3; ++repeat) {
        auto problem = make_problem<T>(kind, 10, 64 + 40 * repeat, n_dims, random);
        for (const double scale :
             {1.0, 0x1p-38, 0x1p45, 0x1p-50, 0x1.8p53}) {  // around the ends of the range
          auto scaled = problem;
          bool finite = true;
          for (auto* values : {&scaled.x, &scaled.codes})
            for (T& value : *values) {
              value = static_cast<T>(static_cast<double>(value) * scale);
              finite &= std::isfinite(value);
            }
          if (!finite) continue;
          check_bound(scaled, false, bound);
          if (has_products(kind) && scale <= 0x1p45) check_bound(scaled, true, bound);
        }
      }
  CHECK(bound.covered > 2000);
}

// The threshold leaves room for twice the largest error of an estimate, and for the specification's own
// rounding. The scale of these problems is 1 and their centre 0.
template <class T> void check_proof(const Problem<T>& problem, bool dot) {
  const FilterCodes<T> filter(problem.codes.data(), problem.n_codes, problem.n_dims, dot);
  std::vector<int16_t> rounded(static_cast<size_t>(2 * filter.n_pairs()));
  const double slack = filter.round_row(problem.row(0), rounded.data());
  const std::vector<int64_t> e = estimates(filter, rounded.data(), problem.n_codes);
  long double worst = 0, row_square = 0, longest = 0;
  std::vector<long double> h;
  for (int64_t k = 0; k < problem.n_codes; ++k) {
    long double square = 0, product = 0;
    row_square = 0;
    for (int64_t j = 0; j < problem.n_dims; ++j) {
      const long double c = problem.code(k)[j], y = problem.row(0)[j];
      square += c * c;
      product += c * y;
      row_square += y * y;
    }
    h.push_back((dot ? 0 : square / 2) - product);
    longest = std::max(longest, std::sqrt(square));
    worst = std::max(worst, std::abs(h.back() - static_cast<long double>(e[static_cast<size_t>(k)])));
  }
  const auto lowest = std::min_element(e.begin(), e.end());
  const long double true_distance = h[static_cast<size_t>(lowest - e.begin())] + row_square / 2;
  const long double unit = Limits<T>::epsilon() / 2, steps = static_cast<long double>(problem.n_dims + 2);
  const long double eta = std::expm1(steps * std::log1p(unit));
  const long double rounding =
      dot ? 2 * eta * std::sqrt(row_square) * longest : 2 * eta / (1 - eta) * true_distance;
  const int32_t threshold = filter.threshold(static_cast<int32_t>(*lowest), slack);
  CHECK(static_cast<long double>(threshold) >= static_cast<long double>(*lowest) + 2 * worst + rounding);
}

// Where rounding misleads most: the bound is needed, and it holds.
template <class T> void test_bound_at_its_limit(Isa isa) {
  for (const int64_t n_dims : {8, 10, 16, 64, 256}) {
    for (const bool dot : {false, true}) {
      const auto problem = misleading_rows<T>(n_dims, dot);
      Bound bound;
      check_bound(problem, dot, bound);
      check_proof(problem, dot);
      CHECK(bound.covered == 1 && bound.used_most > (dot ? 0.3 : 0.6));
      CHECK(by_definition(problem, dot, 1).ids[0] == 32);
      check_routes(problem, dot, {1}, isa, "misleading rows");
    }
    const auto problem = misleading_codes<T>(n_dims);
    Bound bound;
    check_bound(problem, false, bound);
    check_proof(problem, false);
    CHECK(bound.covered == 1 && bound.used_most > 0.6);
    CHECK(by_definition(problem, false, 1).ids[0] == 32);
    check_routes(problem, false, {1}, isa, "misleading codes");
  }
}

// Rows and codes that 16-bit integers do not hold are left to the exhaustive search.
template <class T> void test_range_of_the_filter() {
  Random random(6);
  std::vector<int16_t> rounded(8);
  const auto problem = make_problem<T>(Kind::gaussian, 1, 64, 7, random);
  const FilterCodes<T> l2(problem.codes.data(), 64, 7, false), dot(problem.codes.data(), 64, 7, true);
  CHECK(l2.usable() && dot.usable());
  CHECK(l2.round_row(problem.row(0), rounded.data()) >= 0);
  for (const double size : {1e5, 1e9, 1e30}) {
    std::vector<T> far(7, static_cast<T>(size));
    CHECK(l2.round_row(far.data(), rounded.data()) < 0);
    CHECK((dot.round_row(far.data(), rounded.data()) >= 0) == (size < 1e15));
  }
  std::vector<T> row(7, T(0));
  CHECK(dot.round_row(row.data(), rounded.data()) >= 0);
  row[3] = T(1e-30);
  CHECK(dot.round_row(row.data(), rounded.data()) < 0);
  row[3] = Limits<T>::max();
  CHECK(l2.round_row(row.data(), rounded.data()) < 0 && dot.round_row(row.data(), rounded.data()) < 0);
  for (const double size : {0.0, 1e-30, 1e25, 1e37}) {  // no scale, or none in the range
    std::vector<T> codes;
    for (const T c : problem.codes) codes.push_back(static_cast<T>(size * static_cast<double>(c)));
    CHECK(!FilterCodes<T>(codes.data(), 64, 7, false).usable());
    CHECK(!FilterCodes<T>(codes.data(), 64, 7, true).usable());
  }
  CHECK(!FilterCodes<T>(problem.codes.data(), 63, 7, false).usable());
  CHECK(!FilterCodes<T>().usable());
}

// The minima of groups, the smallest of all, and the groups at or below a threshold.
void test_filter_kernels(Isa isa) {
  const FilterKernels* kernels = filter_kernels(isa);
  CHECK((kernels == nullptr) == (isa == Isa::scalar));
  if (kernels == nullptr) return;
  Random random(7);
  for (const int64_t n_codes : {64, 65, 127, 1000, 5000})
    for (const int64_t n_dims : {1, 2, 7, 16, 33})
      for (const bool dot : {false, true}) {
        const int64_t n_rows = 1 + static_cast<int64_t>(random() % 20);
        const auto problem = make_problem<float>(Kind::gaussian, n_rows, n_codes, n_dims, random);
        const FilterCodes<float> filter(problem.codes.data(), n_codes, n_dims, dot);
        const int64_t n_groups = filter.n_groups(), row_values = 2 * filter.n_pairs(), lanes = kernels->lanes;
        CHECK((n_groups - 1) * filter.group_codes() < n_codes && n_codes <= n_groups * filter.group_codes());
        std::vector<int16_t> rounded(static_cast<size_t>(n_rows * row_values));
        for (int64_t i = 0; i < n_rows; ++i)
          CHECK(filter.round_row(problem.row(i), rounded.data() + i * row_values) >= 0);
        if (random() % 2 == 0)  // any integers: sums wrap around where they must
          for (int16_t& value : rounded)
            value = static_cast<int16_t>(static_cast<int64_t>(random() % 65535) - 32767);
        std::vector<int32_t> minima(static_cast<size_t>(n_rows * n_groups * lanes), 7);
        const int64_t half = n_groups / 2;  // in two ranges
        if (half > 0) kernels->minima(filter.view(0, half), rounded.data(), n_rows, n_groups, minima.data());
        kernels->minima(filter.view(half, n_groups - half), rounded.data(), n_rows, n_groups,
                        minima.data() + half * lanes);
        for (int64_t i = 0; i < n_rows; ++i) {
          const auto e = estimates(filter, rounded.data() + i * row_values, n_codes);
          std::vector<int32_t> expected(static_cast<size_t>(n_groups), INT32_MAX), groups(expected.size());
          for (int64_t k = 0; k < n_codes; ++k) {
            int32_t& least = expected[static_cast<size_t>(k / filter.group_codes())];
            least = std::min(least, static_cast<int32_t>(static_cast<uint32_t>(e[static_cast<size_t>(k)])));
          }
          const int32_t* row_minima = minima.data() + i * n_groups * lanes;
          bool same = true;
          for (int64_t group = 0; group < n_groups; ++group)
            same &= *std::min_element(row_minima + group * lanes, row_minima + (group + 1) * lanes) ==
                    expected[static_cast<size_t>(group)];
          CHECK(same);
          CHECK(kernels->smallest(row_minima, n_groups) ==
                *std::min_element(expected.begin(), expected.end()));
          for (const int64_t offset : {-1, 0, 1}) {
            const int64_t wanted = expected[static_cast<size_t>(random() % expected.size())] + offset;
            const auto threshold = static_cast<int32_t>(std::clamp<int64_t>(wanted, INT32_MIN, INT32_MAX));
            const int64_t found = kernels->groups_within(row_minima, n_groups, threshold, groups.data());
            std::vector<int32_t> within;
            for (int64_t group = 0; group < n_groups; ++group)
              if (expected[static_cast<size_t>(group)] <= threshold)
                within.push_back(static_cast<int32_t>(group));
            CHECK(std::vector<int32_t>(groups.begin(), groups.begin() + found) == within);
          }
        }
      }
}

// ---- the whole search -------------------------------------------------------------------------------------

// Masked, invalid and good rows, any number of threads: ids, values, margins and faults.
template <class T> void test_search(Metric metric, int threads) {
  Random random(8);
  const bool dot = metric != Metric::l2;
  for (const Shape& shape : {Shape{1, 3}, Shape{40, 3}, Shape{600, 2}, Shape{200, 16}})
    for (const Kind kind : kKinds) {
      if (dot && !has_products(kind)) continue;
      auto problem = make_problem<T>(kind, 150, shape.n_codes, shape.n_dims, random);
      if (metric == Metric::cosine) {
        std::vector<T> normalised(problem.codes.size());
        if (normalise_codes(problem.codes.data(), shape.n_codes, shape.n_dims, normalised.data()) >= 0)
          continue;
        problem.codes = normalised;
      }
      const int64_t k = std::min<int64_t>(2, shape.n_codes);
      const Found<T> expected = by_definition(problem, dot, k);
      std::vector<T> x = problem.x;
      std::vector<uint8_t> mask(150, 1);
      std::vector<bool> good(150, true);
      int64_t n_faults = 0, first = -1;
      for (int64_t i = 0; i < 150; ++i) {
        const auto row = static_cast<size_t>(i), what = static_cast<size_t>(random() % 16);
        T& value = x[static_cast<size_t>(
            i * shape.n_dims + static_cast<int64_t>(random() % static_cast<uint64_t>(shape.n_dims)))];
        if (what < 2) value = what == 0 ? Limits<T>::quiet_NaN() : -Limits<T>::infinity();
        mask[row] = what % 8 == 1 || what == 3 ? 0 : 1;
        const bool zero =
            metric == Metric::cosine &&
            std::all_of(problem.row(i), problem.row(i) + shape.n_dims, [](T c) { return c == 0; });
        const bool fault = what < 2 || zero || !std::isfinite(expected.values[static_cast<size_t>(i * k)]);
        good[row] = mask[row] != 0 && !fault;
        if (mask[row] == 0 || !fault) continue;
        ++n_faults;
        if (first < 0) first = i;
      }
      const CodeSearch<T> search(problem.codes.data(), shape.n_codes, shape.n_dims, metric);
      for (const int64_t asked : {int64_t{1}, k})
        for (const bool with_margin : {false, true}) {
          std::vector<int32_t> ids(static_cast<size_t>(150 * asked), -7);
          std::vector<T> values(ids.size(), T(-7)), margin(150, T(-7));
          const RowFaults faults = search.search(
              {x.data(), 150, mask.data()},
              {asked, ids.data(), values.data(), with_margin ? margin.data() : nullptr}, threads);
          CHECK(faults.count == n_faults && faults.first == first);
          bool right = true;
          for (size_t i = 0; i < 150; ++i) {
            for (size_t j = 0; j < static_cast<size_t>(asked); ++j) {
              const size_t ours = i * static_cast<size_t>(asked) + j,
                           defined = i * static_cast<size_t>(k) + j;
              right &= good[i]
                           ? ids[ours] == expected.ids[defined] && values[ours] == expected.values[defined]
                           : ids[ours] == -1 && std::isnan(values[ours]);
            }
            if (!with_margin) continue;
            const size_t at = i * static_cast<size_t>(k);
            const T between =
                k == 1 ? Limits<T>::infinity() : std::abs(expected.values[at + 1] - expected.values[at]);
            right &= good[i] ? margin[i] == between : std::isnan(margin[i]);
          }
          CHECK(right);
        }
    }
}

// Exactly the rows are refused of which a product overflows, on the way or at the end.
template <class T> void test_products_that_overflow() {
  const T huge = Limits<T>::max() / 4;
  const std::vector<T> codes = {huge, huge, huge, 1, 0, 0, -huge, huge, huge};
  const CodeSearch<T> search(codes.data(), 3, 3, Metric::dot);
  const std::vector<T> x = {1, 1, 1, 3, 1, 1, 2, 2, 2, 3, 3, -3, 0, 0, 0};
  std::vector<int32_t> ids(5);
  const RowFaults faults = search.search({x.data(), 5, nullptr}, {1, ids.data(), nullptr, nullptr}, 1);
  CHECK((ids == std::vector<int32_t>{0, -1, -1, -1, 0}));
  CHECK(faults.count == 3 && faults.first == 1 && faults.reason == RowFault::overflow);
}

template <class T> void test_refusals() {
  const std::vector<T> codes = {1, 2, 3, 4};
  CHECK_THROWS(CodeSearch<T>(codes.data(), 0, 2, Metric::l2), std::invalid_argument);
  CHECK_THROWS(CodeSearch<T>(codes.data(), 2, 0, Metric::l2), std::invalid_argument);
  for (const T bad : {Limits<T>::infinity(), -Limits<T>::infinity(), Limits<T>::quiet_NaN()}) {
    std::vector<T> broken = codes;
    broken[2] = bad;
    CHECK_THROWS(CodeSearch<T>(broken.data(), 2, 2, Metric::l2), std::invalid_argument);
  }
  const CodeSearch<T> search(codes.data(), 2, 2, Metric::l2);
  std::vector<int32_t> ids(6);
  for (const int64_t k : {-1, 0, 3})
    CHECK_THROWS(search.search({codes.data(), 1, nullptr}, {k, ids.data(), nullptr, nullptr}, 1),
                 std::invalid_argument);
  CHECK_THROWS(search.search({codes.data(), 1, nullptr}, {1, ids.data(), nullptr, nullptr}, -1),
               std::invalid_argument);
  std::vector<T> normalised(4);
  const std::vector<T> zero = {1, 2, 0, -T(0)};
  CHECK(normalise_codes(zero.data(), 2, 2, normalised.data()) == 1);
}

template <class T> void test_all(Isa isa) {
  test_routes<T>(isa);
  test_every_k<T>(isa);
  test_every_number_of_rows<T>(isa);
  test_bound_at_its_limit<T>(isa);
  if (kEmulated) return;  // the whole search takes the best instruction set of this CPU
  force_isa(isa);
  for (const Metric metric : {Metric::l2, Metric::dot, Metric::cosine})
    for (const int threads : {1, 3}) test_search<T>(metric, threads);
  test_products_that_overflow<T>();
  unforce_isa();
}

template <class T> void test_without_kernels() {
  test_boxes_hold_their_codes<T>();
  test_bound<T>();
  test_range_of_the_filter<T>();
  test_refusals<T>();
}

}  // namespace

int main() {
  if (!kEmulated) {
    test_without_kernels<float>();
    test_without_kernels<double>();
  }
  for (const Isa isa : tested_isas()) {
    std::printf("%s%s\n", isa_name(isa), kEmulated ? " (emulated)" : "");
    test_filter_kernels(isa);
    test_all<float>(isa);
    test_all<double>(isa);
  }
  return evtok_test::report();
}
