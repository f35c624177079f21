// Bin search: every instruction set against the specification in bins.hpp. Tolerance class: equality of bits.
//
// With EVTOK_EMULATED_AVX512 the AVX-512 file is linked as emulated by SIMDe, and is tested on any CPU.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "bins_data.hpp"
#include "check.hpp"
#include "evtok/bin_search.hpp"
#include "evtok/digitize.hpp"

namespace {

using namespace evtok;
using namespace evtok_test;

// Sizes around every tile of every kernel: 8 to 64 rows, and the vectors within them.
const std::vector<int64_t> kSizes = {0,  1,  2,  3,   4,   5,   7,   8,   9,   15, 16, 17,
                                     23, 24, 25, 31,  32,  33,  39,  40,  47,  48, 49, 63,
                                     64, 65, 95, 127, 128, 129, 191, 192, 257, 515};

// ---- which kernels

struct Tested {
  Isa isa;
  bool forced;  // this CPU runs it, so that it can also be forced by name
};

std::vector<Tested> tested_isas() {
  std::vector<Tested> tested;
  for (int i = 0; i < kIsaCount; ++i) {
    const Isa isa = static_cast<Isa>(i);
    if (isa_available(isa)) tested.push_back({isa, true});
  }
#ifdef EVTOK_EMULATED_AVX512
  tested.push_back({Isa::avx512, false});
#endif
  return tested;
}

// The entry point that `isa` must lead to; null for the scalar file, whose function has no name outside it.
template <class T> AccumulateBins<T> entry_point(Isa isa) {
#ifdef EVTOK_X86
  if constexpr (std::is_same_v<T, float>)
    return isa >= Isa::avx512 ? accumulate_bins_f32_avx512
           : isa == Isa::avx2 ? accumulate_bins_f32_avx2
                              : nullptr;
  else
    return isa >= Isa::avx512 ? accumulate_bins_f64_avx512
           : isa == Isa::avx2 ? accumulate_bins_f64_avx2
                              : nullptr;
#else
  (void)isa;
  return nullptr;
#endif
}

template <class T> void test_choice(Isa isa) {
  const auto chosen = accumulate_bins_for<T>(isa), expected = entry_point<T>(isa);
  CHECK(chosen != nullptr);
  if (expected != nullptr) CHECK(chosen == expected);
  if (isa == Isa::scalar)
    for (const Isa other : {Isa::avx2, Isa::avx512}) CHECK(chosen != entry_point<T>(other));
}

// The vector files must find a straight line for regular edges in float32, else the tests below do not reach
// it.
void test_grids_are_taken(Isa isa) {
  Random random(8);
  const std::pair<EdgeKind, Spacing> kinds[] = {{EdgeKind::uniform, Spacing::uniform},
                                                {EdgeKind::logarithmic, Spacing::logarithmic},
                                                {EdgeKind::nearly_uniform, Spacing::irregular}};
  for (const auto& [kind, spacing] : kinds) {
    const std::vector<float> edges = make_edges<float>(kind, 40, random);
    const BinSearch<float> search(edges.data(), 40, false, isa);
    CHECK(search.table().grid.spacing == (isa >= Isa::avx2 ? spacing : Spacing::irregular));
  }
}

// ---- comparisons

// The definition in words, which shares no line with bin_of: #{k : edges[k] <= x}, or < when right-closed.
template <class T> int32_t count_edges(T x, const std::vector<T>& edges, bool right) {
  int32_t count = 0;
  for (const T edge : edges) count += std::isnan(x) || (right ? edge < x : edge <= x) ? 1 : 0;
  return count;
}

// Accumulates over x at an odd address and compares every value with the specification; nothing may be
// written beside the n outputs. True when all is as specified.
template <class T>
bool equals_specification(const BinSearch<T>& search, const std::vector<T>& x, bool fresh, Random& random) {
  const int64_t n = static_cast<int64_t>(x.size());
  std::vector<char> unaligned(x.size() * sizeof(T) + sizeof(T));
  T* const values = new (unaligned.data()) T[x.size() + 1] + 1;  // 4 or 8 bytes off a vector's alignment
  if (n > 0) std::memcpy(values, x.data(), x.size() * sizeof(T));

  constexpr int32_t kGuard = 0x5A5A5A5A;
  std::vector<int32_t> before(x.size() + 2, kGuard), after;
  for (size_t i = 1; i <= x.size(); ++i) {
    before[i] = static_cast<int32_t>(random() % 1000000);
    if (random() % 4 == 0) before[i] |= kUnknown;
    if (random() % 4 == 0) before[i] |= kInvalid;
  }
  after = before;
  search.accumulate(values, n, fresh, after.data() + 1);

  bool equal = after.front() == kGuard && after.back() == kGuard;
  for (size_t i = 0; i < x.size(); ++i) {
    const int32_t contribution = bin_contribution(x[i], search.table());
    equal &= after[i + 1] == (fresh ? contribution : add_contribution(before[i + 1], contribution));
  }
  return equal;
}

// Sums over x at an odd address: true, with plain sums, exactly when no contribution has a flag.
template <class T>
bool sums_as_specified(const BinSearch<T>& search, const std::vector<T>& x, bool fresh, Random& random) {
  const int64_t n = static_cast<int64_t>(x.size());
  std::vector<char> unaligned(x.size() * sizeof(T) + sizeof(T));
  T* const values = new (unaligned.data()) T[x.size() + 1] + 1;
  if (n > 0) std::memcpy(values, x.data(), x.size() * sizeof(T));

  constexpr int32_t kGuard = 0x5A5A5A5A;
  std::vector<int32_t> before(x.size() + 2, kGuard), after;
  for (size_t i = 1; i <= x.size(); ++i) before[i] = static_cast<int32_t>(random() % 1000000);
  after = before;
  const bool clean = search.sum(values, n, fresh, after.data() + 1);

  bool flagged = false, sums = true;
  for (size_t i = 0; i < x.size(); ++i) {
    const int32_t contribution = bin_contribution(x[i], search.table());
    flagged |= contribution < 0 || (contribution & kUnknown) != 0;
    sums &= after[i + 1] == contribution + (fresh ? 0 : before[i + 1]);
  }
  return clean == !flagged && (!clean || sums) && after.front() == kGuard && after.back() == kGuard;
}

// ---- tests

template <class T> void test_specification() {
  Random random(1);
  for (const EdgeKind kind : kEdgeKinds)
    for (const int64_t n_edges : {0, 1, 2, 3, 7, 8, 40, 511}) {
      const auto edges = make_edges<T>(kind, n_edges, random);
      bool equal = true;
      for (const T x : make_values<T>(300, edges, random))
        for (const bool right : {false, true})
          equal &=
              bin_of(x, edges.data(), static_cast<int32_t>(n_edges), right) == count_edges(x, edges, right);
      CHECK(equal);
    }
}

template <class T> void test_every_edge_count(Isa isa) {
  Random random(2);
  std::vector<int64_t> counts = {127, 128, 255, 256, 257, 510, 511, 512, 513, 1022, 1023, 1024, 5000};
  for (int64_t k = 0; k <= 100; ++k) counts.push_back(k);
  for (const int64_t n_edges : counts)
    for (const EdgeKind kind : kEdgeKinds)
      for (const bool right : {false, true}) {
        const auto edges = make_edges<T>(kind, n_edges, random);
        BinSearch<T> search(edges.data(), n_edges, right, isa);
        search.table().check = true;
        CHECK(equals_specification(search, make_values<T>(200, edges, random), true, random));
      }
}

template <class T> void test_every_size(Isa isa) {
  Random random(3);
  for (const int64_t n : kSizes)
    for (const int64_t n_edges : {0, 1, 31, 41, 600})
      for (const bool fresh : {true, false}) {
        const auto edges = make_edges<T>(EdgeKind::dyadic, n_edges, random);
        const BinSearch<T> search(edges.data(), n_edges, n % 2 == 0, isa);
        CHECK(equals_specification(search, make_values<T>(n, edges, random), fresh, random));
      }
}

template <class T> void test_every_policy(Isa isa) {
  Random random(4);
  for (const int64_t n_edges : {1, 6, 30, 41, 700})
    for (const bool right : {false, true})
      for (const bool fresh : {true, false})
        for (const bool check : {true, false})
          for (const bool outside_unknown : {true, false})
            for (const auto& [first, last] : std::vector<std::pair<int64_t, int64_t>>{
                     {0, n_edges}, {1, n_edges - 1}, {1, n_edges}, {2, 2}}) {
              if (first > last) continue;
              const auto edges = make_edges<T>(EdgeKind::dyadic, n_edges, random);
              BinSearch<T> search(edges.data(), n_edges, right, isa);
              auto& table = search.table();
              table.check = check;
              table.lowest = T(-0.75);
              table.highest = T(1);
              table.first = static_cast<int32_t>(first);
              table.last = static_cast<int32_t>(last);
              table.origin = static_cast<int32_t>(static_cast<int64_t>(random() % 2) * first);
              table.outside_unknown = outside_unknown;
              table.stride = static_cast<int32_t>(1 + random() % 4000);
              CHECK(equals_specification(search, make_values<T>(331, edges, random), fresh, random));
            }
}

// Only the two flags and the sum may meet in an accumulator, whatever was there before.
void test_flags_are_kept() {
  for (const int32_t before : {0, 5, kUnknown, kUnknown | 7, kInvalid, kInvalid | kUnknown | 9})
    for (const int32_t added : {0, 3, kUnknown, kInvalid | 2, kInvalid | kUnknown | 4}) {
      const int32_t flags = kInvalid | kUnknown, sum = add_contribution(before, added);
      CHECK((sum & flags) == ((before | added) & flags));
      CHECK((sum & ~flags) == (before & ~flags) + (added & ~flags));
    }
}

// `x` without the values that have a flag.
template <class T> std::vector<T> without_flags(const std::vector<T>& x, const BinTable<T>& table) {
  std::vector<T> kept;
  for (const T value : x) {
    const int32_t contribution = bin_contribution(value, table);
    if (contribution >= 0 && (contribution & kUnknown) == 0) kept.push_back(value);
  }
  return kept;
}

// Values without a flag, then one with a flag at each place in turn: in a vector, between vectors, in the
// tail.
template <class T> void test_sums(Isa isa) {
  Random random(7);
  for (const int64_t n_edges : {1, 6, 41, 300, 700})
    for (const bool right : {false, true})
      for (const bool outside_unknown : {false, true})
        for (const bool clamped : {false, true}) {
          const auto edges = make_edges<T>(EdgeKind::dyadic, n_edges, random);
          BinSearch<T> search(edges.data(), n_edges, right, isa);
          auto& table = search.table();
          table.check = true;
          table.stride = static_cast<int32_t>(1 + random() % 4000);
          table.outside_unknown = outside_unknown;
          if (clamped && n_edges > 1) {
            table.first = table.origin = 1;
            table.last = static_cast<int32_t>(n_edges - 1);
          }
          const std::vector<T> any = make_values<T>(4000, edges, random), good = without_flags(any, table);
          if (good.size() < 300) continue;  // every value is outside of few edges
          const T infinity = Limits<T>::infinity(), nan = Limits<T>::quiet_NaN();
          for (const int64_t n : kSizes) {
            if (n > 257) continue;
            std::vector<T> x(static_cast<size_t>(n));
            for (T& value : x) value = good[random() % good.size()];
            for (const bool fresh : {true, false}) CHECK(sums_as_specified(search, x, fresh, random));
            for (size_t place = 0; place < x.size(); ++place) {
              const T kept = x[place];
              x[place] = place % 3 == 0 ? nan : place % 3 == 1 ? infinity : any[random() % any.size()];
              CHECK(sums_as_specified(search, x, place % 2 == 0, random));
              x[place] = kept;
            }
          }
          for (const bool check : {true, false}) {
            table.check = check;
            CHECK(sums_as_specified(search, any, true, random));
            CHECK(sums_as_specified(search, without_flags(any, table), false, random));
          }
        }
}

// P1: the code of a row does not depend on its place or on the rows beside it.
template <class T> void test_p1_batch_invariance(Isa isa) {
  Random random(5);
  const auto edges = make_edges<T>(EdgeKind::random, 41, random);
  const auto x = make_values<T>(1000, edges, random);
  const BinSearch<T> search(edges.data(), 41, false, isa);
  std::vector<int32_t> whole(x.size()), parts(x.size());
  search.accumulate(x.data(), 1000, true, whole.data());
  for (int64_t i = 0; i < 1000;) {
    const int64_t rows = std::min<int64_t>(1000 - i, 1 + static_cast<int64_t>(random() % 150));
    search.accumulate(x.data() + i, rows, true, parts.data() + i);
    i += rows;
  }
  CHECK(parts == whole);
}

// P2: digitize gives the codes of the specification for every instruction set and 1 to 7 threads.
template <class T> void test_p2_digitize(bool falling) {
  Random random(6);
  const auto edges = make_edges<T>(EdgeKind::random, 40, random);
  const auto x = make_values<T>(200'003, edges, random);  // three chunks, the last one short
  for (int threads = 0; threads <= 7; ++threads)
    for (const bool right : {false, true}) {
      std::vector<int64_t> codes(x.size(), -7);
      digitize(x.data(), static_cast<int64_t>(x.size()), edges.data(), 40, right, falling, threads,
               codes.data());
      bool equal = true;
      for (size_t i = 0; i < x.size(); ++i) {
        const int64_t code = bin_of(x[i], edges.data(), 40, right);
        equal &= codes[i] == (falling ? 40 - code : code);
      }
      CHECK(equal);
    }
}

template <class T> void test_all(const Tested& tested) {
  test_choice<T>(tested.isa);
  test_every_edge_count<T>(tested.isa);
  test_every_size<T>(tested.isa);
  test_every_policy<T>(tested.isa);
  test_sums<T>(tested.isa);
  test_p1_batch_invariance<T>(tested.isa);
  if (tested.forced)
    for (const bool falling : {false, true}) test_p2_digitize<T>(falling);
}

template <class T> void test_too_many_edges() {
  const T edge = 0;  // the count is refused before an edge is read
  CHECK_THROWS(BinSearch<T>(&edge, int64_t{1} << 31, false, Isa::scalar), std::length_error);
}

}  // namespace

int main() {
  test_specification<float>();
  test_specification<double>();
  test_flags_are_kept();
  test_too_many_edges<float>();
  test_too_many_edges<double>();
  for (const Tested& tested : tested_isas()) {
    std::printf("%s%s\n", isa_name(tested.isa), tested.forced ? "" : " (emulated)");
    if (tested.forced) {
      force_isa(tested.isa);
      CHECK(active_isa() == tested.isa);
    }
    test_grids_are_taken(tested.isa);
    test_all<float>(tested);
    test_all<double>(tested);
    unforce_isa();
  }
  for (int i = 0; i < kIsaCount; ++i)
    if (!isa_available(static_cast<Isa>(i))) CHECK_THROWS(force_isa(static_cast<Isa>(i)), std::runtime_error);
  return evtok_test::report();
}
