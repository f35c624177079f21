// The coarse stage of nearest code: its kernels and its bound in plain integers, and rows on which a smaller
// bound would lose the nearest code. test_nearest.cpp has it among the routes. Tolerance class: equality.
#include "evtok/nearest_coarse.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "check.hpp"
#include "evtok/isa.hpp"
#include "evtok/nearest_coarse_search.hpp"
#include "nearest_data.hpp"

namespace {

using namespace evtok;
using namespace evtok_test;

// A row behind the filter's rounding and the coarse one.
struct RoundedRow {
  std::vector<int16_t> integers;
  std::vector<uint8_t> bytes;
  double slack, error;
};

template <class T>
RoundedRow round_row(const T* x, const FilterCodes<T>& filter, const CoarseCodes<T>& coarse,
                     const CoarseKernels& kernels) {
  RoundedRow row{std::vector<int16_t>(static_cast<size_t>(2 * filter.n_pairs())),
                 std::vector<uint8_t>(static_cast<size_t>(4 * coarse.n_quads())), 0, 0};
  row.slack = filter.round_row(x, row.integers.data());
  row.error = coarse.error(kernels.round_row(row.integers.data(), coarse.n_dims(), coarse.step(),
                                             coarse.n_quads(), row.bytes.data()));
  return row;
}

// e of a code, with all digits.
template <class T> int64_t fine_estimate(const CoarseCodes<T>& coarse, const RoundedRow& row, int64_t k) {
  int64_t sum = coarse.bias(k);
  for (int64_t j = 0; j < coarse.n_dims(); ++j)
    sum += int64_t{row.integers[static_cast<size_t>(j)]} * coarse.integers()[k * coarse.n_padded() + j];
  return sum;
}

// q of a code: the bytes of the view, without the shift that the kernel needs.
template <class T> int64_t coarse_estimate(const CoarseCodes<T>& coarse, const RoundedRow& row, int64_t k) {
  const CoarseView view = coarse.view(0, coarse.n_groups());
  const int64_t panel = k / kFilterPanel, lane = k % kFilterPanel;
  int64_t sum = view.bias[k];
  for (int64_t j = 0; j < 4 * view.n_quads; ++j)
    sum += (int64_t{row.bytes[static_cast<size_t>(j)]} - 64) *
           view.codes[((panel * view.n_quads + j / 4) * kFilterPanel + lane) * 4 + j % 4];
  return sum;
}

// ---- the bound, and the minima of the kernels -------------------------------------------------------------

struct Count {
  int64_t covered = 0, refused = 0, stretches = 0;
};

template <class T>
void check_problem(const Problem<T>& problem, bool dot, const CoarseKernels& kernels, int64_t lanes,
                   Count& count) {
  const FilterCodes<T> filter(problem.codes.data(), problem.n_codes, problem.n_dims, dot);
  const CoarseCodes<T> coarse(problem.codes.data(), problem.n_codes, problem.n_dims, filter);
  CHECK(coarse.usable() == filter.usable());
  if (!coarse.usable()) return;
  const int64_t n_groups = coarse.n_groups(), n_codes = problem.n_codes;
  const int64_t group_codes = coarse.group_panels() * kFilterPanel;
  const double square_step = static_cast<double>(coarse.step()) * coarse.step();
  CHECK((n_groups - 1) * group_codes < n_codes && n_codes <= n_groups * group_codes);
  count.stretches = std::max(count.stretches,
                             (coarse.n_quads() + coarse.view(0, 1).stretch - 1) / coarse.view(0, 1).stretch);
  std::vector<uint8_t> bytes;
  std::vector<RoundedRow> rows;
  for (int64_t i = 0; i < problem.n; ++i) {
    RoundedRow row = round_row(problem.row(i), filter, coarse, kernels);
    CHECK(std::all_of(row.bytes.begin(), row.bytes.end(), [](uint8_t u) { return 1 <= u && u <= 127; }));
    if (row.slack < 0 || row.error < 0) {
      ++count.refused;
      continue;
    }
    ++count.covered;
    bool bounded = true;
    for (int64_t k = 0; k < n_codes; ++k)
      bounded &= static_cast<double>(fine_estimate(coarse, row, k)) >=
                 square_step * static_cast<double>(coarse_estimate(coarse, row, k)) - row.error;
    CHECK(bounded);
    bytes.insert(bytes.end(), row.bytes.begin(), row.bytes.end());
    rows.push_back(std::move(row));
  }
  const auto n_rows = static_cast<int64_t>(rows.size());
  std::vector<int32_t> minima(static_cast<size_t>(n_rows * n_groups * lanes), 7);
  const int64_t half = n_groups / 2;  // in two ranges
  if (half > 0) kernels.minima(coarse.view(0, half), bytes.data(), n_rows, n_groups, minima.data());
  kernels.minima(coarse.view(half, n_groups - half), bytes.data(), n_rows, n_groups,
                 minima.data() + half * lanes);
  std::vector<int64_t> expected(static_cast<size_t>(n_rows * n_groups * lanes), INT32_MAX);
  for (int64_t r = 0; r < n_rows; ++r)
    for (int64_t k = 0; k < n_codes; ++k) {
      int64_t& least = expected[static_cast<size_t>((r * n_groups + k / group_codes) * lanes + k % lanes)];
      least = std::min(least, coarse_estimate(coarse, rows[static_cast<size_t>(r)], k));
    }
  CHECK(std::equal(minima.begin(), minima.end(), expected.begin(), expected.end()));
}

// All numbers as large as the bytes hold, with signs at random, alike or alternating: the 16-bit lanes are
// full.
template <class T> Problem<T> full_lanes(int64_t n_codes, int64_t n_dims, Random& random) {
  Problem<T> problem{9, n_codes, n_dims, {}, {}};
  const auto fill = [&](std::vector<T>& values, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const uint64_t style = random() % 3;
      for (int64_t j = 0; j < n_dims; ++j) {
        const bool minus = style == 0 ? random() % 2 == 0 : style == 1 && j % 2 == 0;
        values.push_back(static_cast<T>((minus ? -1.0 : 1.0) * (i % 2 == 0 ? 1 : -1)));
      }
    }
  };
  fill(problem.codes, n_codes);
  fill(problem.x, problem.n);
  return problem;
}

template <class T> void test_bound(const CoarseKernels& kernels, int64_t lanes) {
  Random random(21);
  Count count;
  for (const int64_t n_dims : {1, 3, 4, 17, 64, 130, 515})
    for (const int64_t n_codes : {64, 99, 530}) {
      for (const Kind kind : kKinds)
        for (const bool dot : {false, true}) {
          if (n_dims > 17 && n_codes > 99) continue;
          check_problem(make_problem<T>(kind, 9, n_codes, n_dims, random), dot, kernels, lanes, count);
        }
      check_problem(full_lanes<T>(n_codes, n_dims, random), false, kernels, lanes, count);
      check_problem(full_lanes<T>(n_codes, n_dims, random), true, kernels, lanes, count);
    }
  check_problem(make_problem<T>(Kind::gaussian, 5, 9000, 2, random), false, kernels, lanes, count);
  CHECK(count.covered > 1500 && count.refused > 200 && count.stretches > 8);
}

// Rows at the end of the range: 64 steps are allowed, and as long a |u| as the lanes hold.
void test_range(const CoarseKernels& kernels) {
  // Codes of 63 steps of 20 in every coordinate, the scale is 1 and the centre 0.
  for (const int64_t n_dims : {64, 61}) {
    std::vector<float> codes;
    for (int64_t k = 0; k < 64; ++k)
      codes.insert(codes.end(), static_cast<size_t>(n_dims), k % 2 == 0 ? 1260.0F : -1260.0F);
    const FilterCodes<float> filter(codes.data(), 64, n_dims, false);
    const CoarseCodes<float> coarse(codes.data(), 64, n_dims, filter);
    CHECK(coarse.usable() && coarse.step() == 20);
    std::vector<float> x(static_cast<size_t>(n_dims), 0.0F);
    for (const float size : {1260.0F, 1280.0F, 1281.0F, 20000.0F}) {
      x.front() = x.back() = -size;
      const RoundedRow row = round_row(x.data(), filter, coarse, kernels);
      CHECK(row.slack >= 0);
      CHECK((row.error >= 0) == (size <= 1280));
      if (size <= 1280) CHECK(row.bytes.front() == 1 && row.bytes[static_cast<size_t>(n_dims - 1)] == 1);
    }
    for (int64_t j = n_dims; j < 4 * coarse.n_quads(); ++j)
      CHECK(round_row(x.data(), filter, coarse, kernels).bytes[static_cast<size_t>(j)] == 64);
  }
}

// ---- the search
// ---------------------------------------------------------------------------------------------

// n_dims coordinates of 1249 are 62 steps of 20 and 9 more, in the row and in the winner. The loser's 1251
// are 63 steps less 9, so its q is lower by nearly all of E, though the winner is the row itself. Far codes
// set the step; all come with their mirror images.
template <class T> void test_a_bound_that_is_needed(Isa isa, const CoarseKernels& kernels) {
  for (const int64_t n_dims : {60, 61, 63, 64}) {
    constexpr int64_t n_codes = 80, winner = 17;
    Problem<T> problem{1, n_codes, n_dims, {}, {}};
    int64_t n_far = 0;
    for (int64_t k = 0; k < n_codes; ++k) {
      const double near = k == 0 ? 1251 : k == winner ? 1249 : k == 33 ? -1251 : k == 49 ? -1249 : 0;
      const int64_t sign = near == 0 ? n_far++ : 0;
      for (int64_t j = 0; j < n_dims; ++j)
        problem.codes.push_back(static_cast<T>(near != 0 ? near : (j + sign) % 2 == 0 ? 1260 : -1260));
    }
    problem.x.assign(static_cast<size_t>(n_dims), T(1249));
    const FilterCodes<T> filter(problem.codes.data(), n_codes, n_dims, false);
    const CoarseCodes<T> coarse(problem.codes.data(), n_codes, n_dims, filter);
    CHECK(coarse.usable() && coarse.step() == 20);
    const RoundedRow row = round_row(problem.row(0), filter, coarse, kernels);
    CHECK(row.slack >= 0 && row.error >= 0);
    const auto threshold = [&](int64_t k) {
      return filter.threshold(static_cast<int32_t>(fine_estimate(coarse, row, k)), row.slack);
    };
    const auto q = static_cast<int32_t>(coarse_estimate(coarse, row, winner));
    CHECK(q <= coarse.limit(threshold(0), row.error));
    CHECK(q > coarse.limit(threshold(0), 0.75 * row.error));  // three quarters of E would lose the winner

    const CoarseSearch<T> search(coarse, filter, false, isa);
    CHECK(search.usable());
    T value = -7;
    int32_t id = -7;
    int64_t found = 0;
    CoarseMemory<T> memory;
    CHECK(search.find(problem.row(0), 1, {row.integers.data(), &row.slack}, {1, &value, &id, &found},
                      memory) == 0);
    CHECK(found == 1 && id == winner && value == 0);
  }
}

// Where many codes are left a row is given up, and its list stays as it was.
template <class T> void test_rows_that_are_given_up(Isa isa) {
  Random random(22);
  auto problem = make_problem<T>(Kind::gaussian, 6, 2000, 40, random);
  for (size_t i = 40; i < problem.codes.size(); ++i) problem.codes[i] = problem.codes[i % 40];
  for (size_t i = 0; i < 40; ++i) problem.codes[1999 * 40 + i] = -problem.codes[i];  // else there is no scale
  const FilterCodes<T> filter(problem.codes.data(), 2000, 40, false);
  const CoarseCodes<T> coarse(problem.codes.data(), 2000, 40, filter);
  std::vector<int16_t> integers(static_cast<size_t>(6 * 2 * filter.n_pairs()));
  std::vector<double> slack;
  for (int64_t i = 0; i < 6; ++i) {
    for (int64_t j = 0; j < 40; ++j)  // beside the many equal codes, or beside the one
      problem.x[static_cast<size_t>(i * 40 + j)] = problem.code(i < 4 ? 0 : 1999)[j];
    slack.push_back(filter.round_row(problem.row(i), integers.data() + i * 2 * filter.n_pairs()));
  }
  std::vector<T> values(6, T(-7));
  std::vector<int32_t> ids(6, -7);
  std::vector<int64_t> found(6, 0);
  CoarseMemory<T> memory;
  const CoarseSearch<T> search(coarse, filter, false, isa);
  CHECK(search.find(problem.x.data(), 6, {integers.data(), slack.data()},
                    {1, values.data(), ids.data(), found.data()}, memory) == 4);
  CHECK((ids == std::vector<int32_t>{-7, -7, -7, -7, 1999, 1999}));
  CHECK((values == std::vector<T>{-7, -7, -7, -7, 0, 0}));
  CHECK((found == std::vector<int64_t>{0, 0, 0, 0, 1, 1}));
}

// ---- the small kernels ----------------------------------------------------------------------------------

template <class T, class Chains> void test_chains(Chains chains) {
  Random random(23);
  for (const bool dot : {false, true})
    for (const int64_t n_dims : {1, 7, 40}) {
      const auto problem = make_problem<T>(Kind::gaussian, 20, 20, n_dims, random);
      for (int64_t n = 0; n <= 20; ++n) {
        std::vector<ChainPair<T>> pairs;
        std::vector<T> expected, values(static_cast<size_t>(n) + 1, T(-7));
        for (int64_t i = 0; i < n; ++i) {
          pairs.push_back({problem.row(i), problem.code(19 - i)});
          expected.push_back(defined_value(problem.row(i), problem.code(19 - i), n_dims, dot));
        }
        expected.push_back(T(-7));  // nothing is written behind the end
        chains(pairs.data(), n, n_dims, dot, values.data());
        CHECK(values == expected);
      }
    }
}

void test_products(const CoarseKernels& kernels) {
  Random random(24);
  constexpr int64_t kCodes = 5;
  for (int64_t n = 0; n <= 160; n += kProductWidth) {
    std::vector<int16_t> row, codes;
    for (int64_t i = 0; i < n; ++i) row.push_back(static_cast<int16_t>(random() % 4001));
    for (int64_t i = 0; i < kCodes * n; ++i)
      codes.push_back(static_cast<int16_t>(static_cast<int>(random() % 4001) - 2000));
    for (int64_t n_ids = 0; n_ids <= 13; ++n_ids) {
      std::vector<int32_t> ids, expected, products(static_cast<size_t>(n_ids) + 1, -7);
      for (int64_t k = 0; k < n_ids; ++k) {
        ids.push_back(static_cast<int32_t>(random() % kCodes));
        int32_t sum = 0;
        for (int64_t i = 0; i < n; ++i)
          sum += int32_t{row[static_cast<size_t>(i)]} * codes[static_cast<size_t>(ids.back() * n + i)];
        expected.push_back(sum);
      }
      expected.push_back(-7);  // nothing is written behind the end
      kernels.products(row.data(), codes.data(), n, ids.data(), n_ids, products.data());
      CHECK(products == expected);
    }
  }
}

void test_places_within(const CoarseKernels& kernels, int64_t lanes) {
  Random random(25);
  for (int64_t n = 0; n <= 40 * lanes; n += lanes)
    for (const int32_t limit : {INT32_MIN, -3, 0, 3, INT32_MAX}) {
      std::vector<int32_t> minima, expected, places(static_cast<size_t>(n) + 1, -7);
      for (int64_t i = 0; i < n; ++i) {
        minima.push_back(random() % 9 == 0 ? INT32_MAX : static_cast<int32_t>(random() % 11) - 5);
        if (minima.back() <= limit) expected.push_back(static_cast<int32_t>(i));
      }
      const int64_t found = kernels.places_within(minima.data(), n, limit, places.data());
      CHECK(places.back() == -7);
      places.resize(static_cast<size_t>(found));
      CHECK(places == expected);
    }
}

}  // namespace

int main() {
  int n_tested = 0;
  for (int i = 0; i < kIsaCount; ++i) {
    const Isa isa = static_cast<Isa>(i);
    if (!isa_available(isa) || coarse_kernels(isa) == nullptr) continue;
    const CoarseKernels& kernels = *coarse_kernels(isa);
    const int64_t lanes = filter_kernels(isa)->lanes;
    std::printf("%s\n", isa_name(isa));
    test_bound<float>(kernels, lanes);
    test_bound<double>(kernels, lanes);
    test_range(kernels);
    test_a_bound_that_is_needed<float>(isa, kernels);
    test_a_bound_that_is_needed<double>(isa, kernels);
    test_rows_that_are_given_up<float>(isa);
    test_rows_that_are_given_up<double>(isa);
    test_chains<float>(kernels.chains_f32);
    test_chains<double>(kernels.chains_f64);
    test_products(kernels);
    test_places_within(kernels, lanes);
    ++n_tested;
  }
  if (n_tested == 0) std::printf("no instruction set of this CPU has a coarse stage\n");
  return evtok_test::report();
}
