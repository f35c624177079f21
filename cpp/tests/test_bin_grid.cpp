// Regular edges: which ones are taken for a grid, and that a grid decides what the edges say, in the
// definition and in the kernels. Tolerance class: equality of codes; the logarithm is held to its stated
// error.
//
// With EVTOK_EMULATED_AVX512 the AVX-512 file is linked as emulated by SIMDe, and is tested on any CPU.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <vector>

#include "bins_data.hpp"
#include "check.hpp"
#include "evtok/bin_grid_fit.hpp"
#include "evtok/bin_search.hpp"
#include "evtok/bins.hpp"

namespace {

using namespace evtok;
using namespace evtok_test;

float float_of(int64_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits));
}

// Every mantissa of some exponents; of all exponents with EVTOK_TEST_EXHAUSTIVE, which takes minutes.
void test_logarithm() {
  const bool exhaustive = std::getenv("EVTOK_TEST_EXHAUSTIVE") != nullptr;
  double greatest = 0;
  for (int64_t exponent = 1; exponent < 255; ++exponent) {
    const bool sampled =
        exponent == 1 || exponent == 64 || (exponent >= 126 && exponent <= 129) || exponent == 254;
    if (!exhaustive && !sampled) continue;
    for (int64_t mantissa = 0; mantissa < (1 << 23); mantissa += exhaustive || exponent == 128 ? 1 : 7) {
      const float x = float_of(exponent << 23 | mantissa);
      greatest = std::max(
          greatest, std::abs(static_cast<double>(approximate_log2(x)) - std::log2(static_cast<double>(x))));
    }
  }
  CHECK(greatest < kLog2Error);
  CHECK(greatest > kLog2Error / 2);  // the bound is not far from what there is

  // What is not normal and positive lies where its order says.
  const float least = approximate_log2(Limits<float>::min()), most = approximate_log2(Limits<float>::max());
  for (const float x :
       {0.0F, -0.0F, Limits<float>::denorm_min(), std::nextafter(Limits<float>::min(), 0.0F), -1.0F,
        -Limits<float>::denorm_min(), Limits<float>::lowest(), -Limits<float>::infinity()})
    CHECK(approximate_log2(x) <= least + 2 * static_cast<float>(kLog2Error));
  CHECK(approximate_log2(Limits<float>::infinity()) >= most - 2 * static_cast<float>(kLog2Error));
}

std::vector<float> uniform_edges(int64_t n, double low, double high) {
  std::vector<float> edges;
  for (int64_t k = 0; k < n; ++k)
    edges.push_back(
        static_cast<float>(low + (high - low) * static_cast<double>(k) / static_cast<double>(n - 1)));
  return edges;
}

std::vector<float> logarithmic_edges(int64_t n, double low, double high) {
  std::vector<float> edges;
  for (int64_t k = 0; k < n; ++k)
    edges.push_back(
        static_cast<float>(low * std::pow(high / low, static_cast<double>(k) / static_cast<double>(n - 1))));
  return edges;
}

BinGrid grid_of(const std::vector<float>& edges) {
  return fit_bin_grid(edges.data(), static_cast<int64_t>(edges.size()));
}

// Counts the values that the grid decides, and holds their codes to the specification, for both closures.
struct Decided {
  int64_t values = 0, decided = 0, wrong = 0;

  void add(float x, const std::vector<float>& edges, const BinGrid& grid) {
    ++values;
    const int32_t place = grid_place(x, grid);
    if ((place & (kCell - 1)) <= grid.undecided || std::isnan(x)) return;
    ++decided;
    const int32_t n = static_cast<int32_t>(edges.size());
    const int32_t code = std::clamp(place >> kCellBits, 0, n);
    wrong += code != bin_of(x, edges.data(), n, false) || code != bin_of(x, edges.data(), n, true);
  }
};

// Values that the grid decides, from all over; NaN too, of which the logarithm decides something.
std::vector<float> decided_values(const std::vector<float>& edges, const BinGrid& grid) {
  std::vector<float> decided;
  const auto take = [&](float x) {
    if ((grid_place(x, grid) & (kCell - 1)) > grid.undecided) decided.push_back(x);
  };
  Random random(2);
  for (const float edge : edges)
    for (int64_t i = -2000; i <= 2000; ++i)
      take(float_of(static_cast<int64_t>(std::bit_cast<uint32_t>(edge)) + i));
  for (int64_t i = 0; i < 50'000; ++i) take(float_of(static_cast<int64_t>(random() >> 32)));
  for (const float x : hard_values<float>())
    for (int i = 0; i < 40; ++i) take(x);
  std::shuffle(decided.begin(), decided.end(), random);
  return decided;
}

// Blocks in which nothing is searched for, so that a kernel has nothing but its grid.
void test_kernel(Isa isa, const std::vector<float>& edges, const BinGrid& grid) {
  constexpr int64_t kBlock = 64;  // values that a kernel decides together, or twice as many
  const std::vector<float> x = decided_values(edges, grid);
  const int64_t n = static_cast<int64_t>(x.size()) / kBlock * kBlock;
  std::vector<int32_t> found(x.size()), expected(x.size());
  for (const bool right : {false, true})
    for (const bool check : {false, true})
      for (const bool domain : {false, true}) {
        BinSearch<float> search(edges.data(), static_cast<int64_t>(edges.size()), right, isa);
        CHECK(search.table().grid.spacing == grid.spacing);
        search.table().check = check;
        if (domain) search.table().lowest = edges.front();
        for (size_t i = 0; i < x.size(); ++i) expected[i] = bin_contribution(x[i], search.table());
        search.accumulate(x.data(), n, true, found.data());
        CHECK(std::equal(found.begin(), found.begin() + n, expected.begin()));
        int64_t wrong = 0;
        for (int64_t i = 0; i < n; i += kBlock) {
          const auto begin = expected.begin() + i;
          const bool clean = std::all_of(begin, begin + kBlock, [](int32_t code) { return code >= 0; });
          wrong += search.sum(x.data() + i, kBlock, true, found.data()) != clean;
          wrong += clean && !std::equal(begin, begin + kBlock, found.begin());
        }
        CHECK(wrong == 0);
      }
}

std::vector<Isa> kernels_with_grids() {
  std::vector<Isa> isas;
  for (const Isa isa : {Isa::avx2, Isa::avx512})
    if (isa_available(isa)) isas.push_back(isa);
#ifdef EVTOK_EMULATED_AVX512
  isas.push_back(Isa::avx512);
#endif
  return isas;
}

void test_codes(const std::vector<float>& edges, Spacing expected) {
  const BinGrid grid = grid_of(edges);
  CHECK(grid.spacing == expected);
  if (grid.spacing == Spacing::irregular) return;

  for (const Isa isa : kernels_with_grids()) test_kernel(isa, edges, grid);

  Decided near, any, between;
  // On the edges none may be decided: left- and right-closed bins differ there.
  for (const float edge : edges) {
    Decided on;
    on.add(edge, edges, grid);
    CHECK(on.decided == 0);
    // All floats around an edge, as far as the margin and beyond.
    float below = edge, above = edge;
    for (int i = 0; i < 3000; ++i) {
      below = std::nextafter(below, -Limits<float>::infinity());
      above = std::nextafter(above, Limits<float>::infinity());
      near.add(below, edges, grid);
      near.add(above, edges, grid);
    }
  }
  // Bit patterns of every kind, and values between the first and the last edge.
  Random random(1);
  for (int64_t i = 0; i < 400'000; ++i) any.add(float_of(static_cast<int64_t>(random() >> 32)), edges, grid);
  for (const float x : hard_values<float>()) any.add(x, edges, grid);
  for (int64_t i = 0; i < 400'000; ++i) {
    const double u = static_cast<double>(random() >> 11) * 0x1p-53;
    const double low = edges.front(), high = edges.back();
    const bool by_ratio = expected == Spacing::logarithmic;
    between.add(static_cast<float>(by_ratio ? low * std::pow(high / low, u) : low + (high - low) * u), edges,
                grid);
  }
  CHECK(near.wrong == 0 && any.wrong == 0 && between.wrong == 0);
  CHECK(any.decided > 0);
  CHECK(between.decided > between.values - between.values / 500);  // else the grid is not worth its name
}

void test_grids() {
  test_codes(uniform_edges(30, -4, 4), Spacing::uniform);
  test_codes(uniform_edges(31, -3.2, 3.2), Spacing::uniform);
  test_codes(uniform_edges(2, 0, 1), Spacing::uniform);
  test_codes(uniform_edges(500, -1e-3, 7e4), Spacing::uniform);
  test_codes(uniform_edges(16, -1e38, 3e38), Spacing::uniform);
  test_codes(uniform_edges(16, 1e-30, 3e-29), Spacing::uniform);
  test_codes(logarithmic_edges(40, 15, 1500), Spacing::logarithmic);
  test_codes(logarithmic_edges(41, 0.5, 8000), Spacing::logarithmic);
  test_codes(logarithmic_edges(5, 1e-37, 1e38), Spacing::logarithmic);
  test_codes(logarithmic_edges(100, 1e-3, 2e3), Spacing::logarithmic);
  // Here the logarithm falls: without an allowance for that a code is wrong.
  test_codes(logarithmic_edges(32, 0x1.38e9eap+80, 0x1.de9cdap+85), Spacing::logarithmic);
  test_codes(logarithmic_edges(36, 0x1.3p+100, 0x1.3p+105), Spacing::logarithmic);
}

void test_what_is_no_grid() {
  const float infinity = Limits<float>::infinity();
  test_codes({}, Spacing::irregular);
  test_codes({1}, Spacing::irregular);
  test_codes({1, 1}, Spacing::irregular);
  test_codes({1, 1, 1}, Spacing::irregular);
  test_codes({1, 2, 3, 3, 4, 5}, Spacing::irregular);
  test_codes({0, 1, 3}, Spacing::irregular);
  test_codes({1, 2, 3.01F, 4}, Spacing::irregular);
  test_codes(uniform_edges(16, 1e-38, 3e-37), Spacing::irregular);  // the slope is no float
  test_codes({-infinity, 0, 1}, Spacing::irregular);
  test_codes({0, 1, infinity}, Spacing::irregular);
  test_codes({-infinity, infinity}, Spacing::irregular);
  test_codes({Limits<float>::lowest(), Limits<float>::max()}, Spacing::uniform);
  test_codes(logarithmic_edges(2000, 1, 2), Spacing::irregular);  // finer than the logarithm
  std::vector<float> edges = uniform_edges(30, 1, 30);
  edges[7] = std::nextafter(edges[7], 0.0F);  // a rounding moved it: still a grid
  test_codes(edges, Spacing::uniform);
  edges[7] += 0.01F;
  test_codes(edges, Spacing::irregular);
}

}  // namespace

int main() {
  test_logarithm();
  test_grids();
  test_what_is_no_grid();
  return evtok_test::report();
}
