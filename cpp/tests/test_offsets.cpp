// Checks of ragged structure, with hostile values. Exact; under UndefinedBehaviorSanitizer nothing may
// overflow.
#include "evtok/offsets.hpp"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"

namespace {

using namespace evtok;
using Fault = OffsetsFault;

constexpr int64_t kMin = INT64_MIN, kMax = INT64_MAX;

template <class I>
OffsetsCheck check(const std::vector<I>& offsets, int64_t content, int64_t max_per_event = 1'000'000) {
  return check_offsets(offsets.data(), static_cast<int64_t>(offsets.size()) - 1, content, max_per_event);
}

bool operator==(const OffsetsCheck& a, const OffsetsCheck& b) {
  return a.fault == b.fault && a.event == b.event && a.value == b.value;
}

constexpr OffsetsCheck kGood = {Fault::none, -1, 0};

template <class I> void test_good() {
  CHECK(check<I>({0}, 0) == kGood);
  CHECK(check<I>({0}, 5) == kGood);
  CHECK(check<I>({5}, 5) == kGood);
  CHECK(check<I>({0, 0, 0}, 0) == kGood);
  CHECK(check<I>({0, 3, 3, 7}, 7) == kGood);
  CHECK(check<I>({2, 3, 3, 7}, 9) == kGood);     // a slice: starts above 0, ends below the content
  CHECK(check<I>({0, 3, 4, 9}, 9, 5) == kGood);  // exactly max_per_event
  CHECK(check<I>({0, 1, 2}, 2, 1) == kGood);
  CHECK(check<I>({0, 0}, 0, 0) == kGood);
}

template <class I> void test_faults() {
  CHECK((check<I>({0, 3, 2, 7}, 7) == OffsetsCheck{Fault::decreasing, 1, 2}));
  CHECK((check<I>({0, 3, 2, 1, 7}, 7) == OffsetsCheck{Fault::decreasing, 1, 2}));  // the first of two
  CHECK((check<I>({0, 3, 8}, 7) == OffsetsCheck{Fault::past_end, 1, 8}));
  CHECK((check<I>({8}, 7) == OffsetsCheck{Fault::past_end, -1, 8}));
  CHECK((check<I>({0, 1, 7, 20}, 20, 5) == OffsetsCheck{Fault::too_many, 1, 6}));
  CHECK((check<I>({0, 1}, 1, 0) == OffsetsCheck{Fault::too_many, 0, 1}));
  const I top = std::numeric_limits<I>::max();
  CHECK((check<I>({0, top, 0}, 7) == OffsetsCheck{Fault::too_many, 0, static_cast<int64_t>(top)}));
  CHECK((check<I>({top, 0}, 7) == OffsetsCheck{Fault::decreasing, 0, 0}));
  CHECK((check<I>({top}, 7) == OffsetsCheck{Fault::past_end, -1, static_cast<int64_t>(top)}));
}

template <class I> void test_signed_faults() {
  const I low = std::numeric_limits<I>::min(), top = std::numeric_limits<I>::max();
  const int64_t low64 = low, top64 = top;
  CHECK((check<I>({-1, 3}, 7) == OffsetsCheck{Fault::start, -1, -1}));
  CHECK((check<I>({low}, 7) == OffsetsCheck{Fault::start, -1, low64}));
  CHECK((check<I>({low, top}, 7) == OffsetsCheck{Fault::start, -1, low64}));
  CHECK((check<I>({0, -1, 3}, 7) == OffsetsCheck{Fault::decreasing, 0, -1}));
  CHECK((check<I>({0, low}, 7) == OffsetsCheck{Fault::decreasing, 0, low64}));
  CHECK((check<I>({5, low, top}, 7) == OffsetsCheck{Fault::decreasing, 0, low64}));
  CHECK((check<I>({0, top, low}, kMax, kMax) == OffsetsCheck{Fault::decreasing, 1, low64}));
  CHECK((check<I>({0, top, top}, top64 - 1, kMax) == OffsetsCheck{Fault::past_end, 1, top64}));
}

// A limit that means no limit must not open a way round the other checks.
void test_hostile_limits() {
  CHECK((check<int64_t>({0, kMax, kMin}, kMax, kMax) == OffsetsCheck{Fault::decreasing, 1, kMin}));
  CHECK((check<int64_t>({0, 5, 3, 9}, 9, kMax) == OffsetsCheck{Fault::decreasing, 1, 3}));
  CHECK((check<int64_t>({0, 5, 3, 9}, 9, -1) == OffsetsCheck{Fault::too_many, 0, 5}));
  CHECK((check<int64_t>({5, 3, 9}, 9, -1) == OffsetsCheck{Fault::decreasing, 0, 3}));
  CHECK((check<int64_t>({5, 3, 9}, 9, kMin) == OffsetsCheck{Fault::decreasing, 0, 3}));
  CHECK((check<int64_t>({0, kMax}, kMax, kMax) == kGood));
  CHECK((check<int64_t>({0, 1}, -1) == OffsetsCheck{Fault::past_end, 0, 1}));
}

// P18: int32 and uint32 offsets above 2^31 are compared in 64 bits.
void test_p18_wide_offsets() {
  constexpr uint32_t k = 3'000'000'000u;
  CHECK(check<uint32_t>({0, k, k + 1}, int64_t{k} + 1, kMax) == kGood);
  CHECK((check<uint32_t>({0, k, k - 1}, kMax, kMax) == OffsetsCheck{Fault::decreasing, 1, int64_t{k} - 1}));
  CHECK((check<uint32_t>({0, k}, 7, kMax) == OffsetsCheck{Fault::past_end, 0, int64_t{k}}));
  CHECK((check<int64_t>({0, int64_t{1} << 40}, int64_t{1} << 40, kMax) == kGood));
  CHECK((check<int64_t>({0, int64_t{1} << 40}, int64_t{1} << 40) ==
         OffsetsCheck{Fault::too_many, 0, int64_t{1} << 40}));
}

// The definition, one event after the other.
OffsetsCheck expected(const std::vector<int64_t>& offsets, int64_t content, int64_t limit) {
  if (offsets[0] < 0) return {Fault::start, -1, offsets[0]};
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    if (offsets[i + 1] < offsets[i]) return {Fault::decreasing, static_cast<int64_t>(i), offsets[i + 1]};
    if (offsets[i + 1] - offsets[i] > limit)
      return {Fault::too_many, static_cast<int64_t>(i), offsets[i + 1] - offsets[i]};
  }
  const int64_t last = static_cast<int64_t>(offsets.size()) - 2;
  return offsets.back() > content ? OffsetsCheck{Fault::past_end, last, offsets.back()} : kGood;
}

void test_random_offsets() {
  std::mt19937_64 random(1);
  const int64_t hard[] = {kMin,     kMin + 1, -1, 0, 1, 2, 1 << 20, int64_t{1} << 31, int64_t{1} << 32,
                          kMax - 1, kMax};
  for (int trial = 0; trial < 20'000; ++trial) {
    std::vector<int64_t> offsets(1 + random() % 20);
    int64_t sum = 0;
    for (int64_t& offset : offsets) offset = sum += static_cast<int64_t>(random() % 3);
    for (auto k = random() % 3; k > 0; --k)
      offsets[random() % offsets.size()] = hard[random() % std::size(hard)];
    const int64_t content = random() % 2 ? sum : hard[random() % std::size(hard)];
    const int64_t limit = random() % 2 ? 1'000'000 : hard[random() % std::size(hard)];
    CHECK(check(offsets, content, limit) == expected(offsets, content, std::max<int64_t>(limit, 0)));
  }
}

}  // namespace

int main() {
  test_good<int32_t>();
  test_good<uint32_t>();
  test_good<int64_t>();
  test_faults<int32_t>();
  test_faults<uint32_t>();
  test_faults<int64_t>();
  test_signed_faults<int32_t>();
  test_signed_faults<int64_t>();
  test_hostile_limits();
  test_p18_wide_offsets();
  test_random_offsets();
  return evtok_test::report();
}
