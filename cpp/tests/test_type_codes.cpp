// Object types: every instruction set against the look-up in words. Tolerance class: equality of bits.
#include "evtok/type_codes.hpp"

#include <array>
#include <cstdint>
#include <random>
#include <vector>

#include "check.hpp"

namespace {

using namespace evtok;

using Contributions = std::array<int32_t, 256>;
using Random = std::mt19937_64;

// The first `n_known` codes are known, but for every seventh.
Contributions make_table(int n_known) {
  Contributions table;
  table.fill(kUnknown);
  for (int k = 0; k < n_known; ++k)
    if (k % 7 != 6) table[static_cast<size_t>(k)] = 1000 * k + 3;
  return table;
}

// Sums at an odd address; nothing may be written beside the n outputs. True when all is as specified.
bool equals_specification(SumTypes sum, const Contributions& table, const std::vector<uint8_t>& codes,
                          bool fresh, Random& random) {
  constexpr int32_t kGuard = 0x5A5A5A5A;
  const size_t n = codes.size();
  std::vector<uint8_t> shifted(n + 1);
  for (size_t i = 0; i < n; ++i) shifted[i + 1] = codes[i];
  std::vector<int32_t> before(n + 2, kGuard), after;
  for (size_t i = 1; i <= n; ++i) before[i] = static_cast<int32_t>(random() % 100'000'000);
  after = before;
  const bool clean = sum(shifted.data() + 1, static_cast<int64_t>(n), table.data(), fresh, after.data() + 1);

  bool all_known = true, sums = true;
  for (size_t i = 0; i < n; ++i) {
    const int32_t contribution = table[codes[i]];
    all_known &= contribution != kUnknown;
    if (contribution != kUnknown) sums &= after[i + 1] == contribution + (fresh ? 0 : before[i + 1]);
  }
  return clean == all_known && (!clean || sums) && after.front() == kGuard && after.back() == kGuard;
}

bool accumulates(const Contributions& table, const std::vector<uint8_t>& codes, bool fresh, Random& random) {
  std::vector<int32_t> before(codes.size()), after;
  for (int32_t& b : before)
    b = static_cast<int32_t>(random() % 1000) | (random() % 3 == 0 ? kUnknown : 0) |
        (random() % 3 == 0 ? kInvalid : 0);
  after = before;
  accumulate_types(codes.data(), static_cast<int64_t>(codes.size()), table.data(), fresh, after.data());
  bool equal = true;
  for (size_t i = 0; i < codes.size(); ++i)
    equal &= after[i] == (fresh ? table[codes[i]] : add_contribution(before[i], table[codes[i]]));
  return equal;
}

void test_every_code_alone(Isa isa, const Contributions& table) {
  Random random(1);
  const SumTypes sum = sum_types_for(isa, table.data());
  for (int code = 0; code < 256; ++code)
    for (const bool fresh : {true, false})
      for (const size_t n : {1, 8, 9}) {
        const std::vector<uint8_t> codes(n, static_cast<uint8_t>(code));
        CHECK(equals_specification(sum, table, codes, fresh, random));
        CHECK(accumulates(table, codes, fresh, random));
      }
}

// One unknown code at every place of blocks of every size, and none.
void test_every_place(Isa isa, const Contributions& table) {
  Random random(2);
  const SumTypes sum = sum_types_for(isa, table.data());
  for (size_t n = 0; n <= 80; n += n < 40 ? 1 : 7)
    for (size_t bad = 0; bad <= n; ++bad)
      for (const uint8_t unknown : {uint8_t{6}, uint8_t{255}})
        for (const bool fresh : {true, false}) {
          std::vector<uint8_t> codes(n);
          for (uint8_t& code : codes) code = static_cast<uint8_t>(random() % 6);
          if (bad < n) codes[bad] = unknown;
          CHECK(equals_specification(sum, table, codes, fresh, random));
        }
}

void test_choice(Isa isa) {
#ifdef EVTOK_X86
  const SumTypes few = sum_types_for(isa, make_table(16).data());
  CHECK((few == sum_types_avx2) == (isa == Isa::avx2));
  CHECK((few == sum_types_avx512) == (isa >= Isa::avx512));
  CHECK(sum_types_for(isa, make_table(17).data()) == sum_types_for(Isa::scalar, make_table(17).data()));
#else
  CHECK(sum_types_for(isa, make_table(16).data()) != nullptr);
#endif
}

}  // namespace

int main() {
  for (int i = 0; i < kIsaCount; ++i) {
    const Isa isa = static_cast<Isa>(i);
#ifdef EVTOK_EMULATED_AVX512
    const bool emulated = isa == Isa::avx512;
#else
    const bool emulated = false;
#endif
    if (!isa_available(isa) && !emulated) continue;
    test_choice(isa);
    for (const int n_known : {0, 7, 8, 9, 15, 16, 17, 100, 256})
      test_every_code_alone(isa, make_table(n_known));
    for (const int n_known : {7, 16, 17}) test_every_place(isa, make_table(n_known));
  }
  return evtok_test::report();
}
