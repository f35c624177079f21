// Hostile offsets, of every integer type that is taken: the first fault is the one that a plain loop finds,
// and what passes may be rebased and walked. With clang: -fsanitize=fuzzer -DEVTOK_LIBFUZZER. Without it,
// main() replays the same mutations of a small corpus every time, so that ctest runs them under the
// sanitizers.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "evtok/offsets.hpp"

namespace {

using namespace evtok;

void require(bool condition, const char* what) {
  if (condition) return;
  std::printf("broken promise: %s\n", what);
  std::abort();
}

/// The contract of offsets.hpp, event by event. Up to the first fault offsets are not negative and do not
/// decrease, so no difference overflows.
template <class I> OffsetsCheck plain(const std::vector<I>& offsets, int64_t content, int64_t max_per_event) {
  const auto at = [&](size_t i) { return static_cast<int64_t>(offsets[i]); };
  const size_t n_events = offsets.size() - 1;
  if (at(0) < 0) return {OffsetsFault::start, -1, at(0)};
  for (size_t i = 0; i < n_events; ++i) {
    const auto event = static_cast<int64_t>(i);
    if (at(i + 1) < at(i)) return {OffsetsFault::decreasing, event, at(i + 1)};
    const int64_t multiplicity = at(i + 1) - at(i);
    if (multiplicity > std::max<int64_t>(max_per_event, 0))
      return {OffsetsFault::too_many, event, multiplicity};
  }
  if (at(n_events) > content)
    return {OffsetsFault::past_end, static_cast<int64_t>(n_events) - 1, at(n_events)};
  return {OffsetsFault::none, -1, 0};
}

template <class I> void check(const uint8_t* data, size_t size, int64_t content, int64_t max_per_event) {
  std::vector<I> offsets(std::max<size_t>(size / sizeof(I), 1));  // of exactly this size, for the sanitizer
  if (size >= sizeof(I)) std::memcpy(offsets.data(), data, offsets.size() * sizeof(I));
  const auto n_events = static_cast<int64_t>(offsets.size()) - 1;
  const OffsetsCheck found = check_offsets(offsets.data(), n_events, content, max_per_event);
  const OffsetsCheck expected = plain(offsets, content, max_per_event);
  require(found.fault == expected.fault, "the fault is the first one");
  require(found.event == expected.event && found.value == expected.value, "it is named");
  if (found.fault != OffsetsFault::none) return;
  // As the bindings go on: rebased to 0, then every object of every event is touched.
  const auto begin = static_cast<int64_t>(offsets.front()), end = static_cast<int64_t>(offsets.back());
  require(0 <= begin && begin <= end && end <= content, "the range lies in the content");
  if (end - begin > 1 << 16) return;
  std::vector<uint8_t> touched(static_cast<size_t>(end - begin), 0);
  for (size_t i = 0; i + 1 < offsets.size(); ++i)
    for (int64_t k = offsets[i] - begin; k < static_cast<int64_t>(offsets[i + 1]) - begin; ++k)
      ++touched[static_cast<size_t>(k)];
  require(std::all_of(touched.begin(), touched.end(), [](uint8_t n) { return n == 1; }),
          "each object is of one event");
}

}  // namespace

/// Two int64 (the content, the most objects of an event), then offsets.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  int64_t head[2] = {};
  if (size < sizeof head) return 0;
  std::memcpy(head, data, sizeof head);
  check<int32_t>(data + sizeof head, size - sizeof head, head[0], head[1]);
  check<uint32_t>(data + sizeof head, size - sizeof head, head[0], head[1]);
  check<int64_t>(data + sizeof head, size - sizeof head, head[0], head[1]);
  return 0;
}

#ifndef EVTOK_LIBFUZZER
namespace {

std::mt19937_64 random_bits(11);

size_t below(size_t n) {
  return static_cast<size_t>(random_bits() % n);
}

/// Good offsets of type I with a few values replaced, and a content and a limit at or beside the right ones.
template <class I> std::vector<uint8_t> made() {
  using Limits = std::numeric_limits<I>;
  std::vector<I> offsets(1 + below(40));
  const size_t longest = below(4) == 0 ? 1000 : 5;
  auto last = static_cast<I>(below(3) == 0 ? below(100) : 0);
  int64_t most = 0;
  for (I& offset : offsets) {
    offset = last;
    const auto multiplicity = static_cast<I>(below(longest));
    last = static_cast<I>(last + multiplicity);
  }
  for (size_t i = 1; i < offsets.size(); ++i)
    most = std::max(most, static_cast<int64_t>(offsets[i]) - static_cast<int64_t>(offsets[i - 1]));
  int64_t content = static_cast<int64_t>(offsets.back());
  const I strange[] = {Limits::min(), Limits::max(), static_cast<I>(Limits::max() - 1),
                       I{0},          I{1},          static_cast<I>(-1)};
  for (size_t n = below(3); n-- > 0;) {
    I& offset = offsets[below(offsets.size())];
    offset = below(2) == 0 ? strange[below(std::size(strange))]
                           : static_cast<I>(static_cast<uint64_t>(offset) + below(3) - 1);
  }
  const int64_t wide[] = {0, -1, INT64_MIN, INT64_MAX};
  if (below(4) == 0) content = wide[below(4)];
  if (below(4) == 0) content -= content == INT64_MIN ? 0 : 1;
  if (below(4) == 0) most = wide[below(4)];
  if (below(4) == 0) most += most == INT64_MAX ? 0 : 1;
  std::vector<uint8_t> bytes(2 * sizeof(int64_t) + offsets.size() * sizeof(I));
  std::memcpy(bytes.data(), &content, sizeof content);
  std::memcpy(bytes.data() + sizeof content, &most, sizeof most);
  std::memcpy(bytes.data() + 2 * sizeof content, offsets.data(), offsets.size() * sizeof(I));
  for (size_t n = below(8) == 0 ? below(6) : 0; n-- > 0;)
    bytes[below(bytes.size())] ^= static_cast<uint8_t>(1u << below(8));
  return bytes;
}

}  // namespace

int main() {
  constexpr int n = 100'000;
  for (int k = 0; k < n; ++k) {
    const std::vector<uint8_t> bytes = k % 3 == 0   ? made<int32_t>()
                                       : k % 3 == 1 ? made<uint32_t>()
                                                    : made<int64_t>();
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::printf("%d offsets\n", n);
}
#endif
