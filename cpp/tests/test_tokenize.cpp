// Offsets of sequences, and chunks of unequal events. Integers, compared with ==.
#include "evtok/tokenize.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "evtok/parallel.hpp"

namespace {

using namespace evtok;

std::vector<int64_t> offsets_of(const std::vector<int64_t>& multiplicities) {
  std::vector<int64_t> offsets{0};
  for (const int64_t m : multiplicities) offsets.push_back(offsets.back() + m);
  return offsets;
}

// The definition in words: each sequence holds the fixed tokens and `width` ids of every object kept.
void test_sequence_offsets() {
  std::mt19937_64 random(1);
  for (const size_t n : {0, 1, 2, 100}) {
    std::vector<int64_t> multiplicities(n);
    for (int64_t& m : multiplicities) m = static_cast<int64_t>(random() % 9);
    const auto offsets = offsets_of(multiplicities);
    for (const int64_t width : {1, 3})
      for (const size_t before : {0, 2})
        for (const size_t after : {0, 1})
          for (const int64_t most : {INT64_MAX, INT64_MAX - 1, int64_t{4}, int64_t{0}}) {
            SequencePlan plan;
            plan.before.resize(before);
            plan.after.resize(after);
            plan.max_objects = most;
            std::vector<int64_t> out(n + 1, -7);
            const auto counts =
                sequence_offsets(offsets.data(), static_cast<int64_t>(n), width, plan, out.data());
            int64_t total = 0, cut_events = 0, cut_objects = 0;
            CHECK(out[0] == 0);
            for (size_t i = 0; i < n; ++i) {
              const int64_t kept = std::min(multiplicities[i], most);
              total += static_cast<int64_t>(before + after) + kept * width;
              cut_events += kept < multiplicities[i];
              cut_objects += multiplicities[i] - kept;
              CHECK(out[i + 1] == total);
            }
            CHECK(counts.truncated_events == cut_events && counts.truncated_objects == cut_objects);
          }
  }
}

// Every event once, in chunks that hold little more than the grain: however unequal the events are.
void test_chunks_of_unequal_events() {
  std::vector<int64_t> late(5000, 0), alternating(5000, 0);
  std::fill(late.end() - 300, late.end(), 100);  // the mean is 6
  for (size_t i = 0; i < alternating.size(); i += 50) alternating[i] = 400;
  const std::vector<std::vector<int64_t>> cases = {
      {}, {0}, {0, 0, 0}, {5000, 0, 0, 1}, {0, 0, 5000}, late, alternating, std::vector<int64_t>(5000, 3)};
  constexpr int64_t kGrain = 1000;
  for (const auto& multiplicities : cases)
    for (const int64_t start : {0, 17})  // offsets of a slice need not begin at 0
      for (const int threads : {1, 4}) {
        auto offsets = offsets_of(multiplicities);
        for (int64_t& offset : offsets) offset += start;
        const auto n_events = static_cast<int64_t>(multiplicities.size());
        std::vector<std::atomic<int>> visits(multiplicities.size());
        std::atomic<int> too_large{0};
        parallel_for_events(offsets.data(), n_events, kGrain, threads, [&](int64_t begin, int64_t end) {
          const auto work = [&](int64_t event) { return offsets[static_cast<size_t>(event)] + event; };
          too_large += begin >= end || (work(end - 1) - work(begin) >= kGrain);  // without the last event
          for (int64_t event = begin; event < end; ++event) ++visits[static_cast<size_t>(event)];
        });
        CHECK(too_large == 0);
        CHECK(std::all_of(visits.begin(), visits.end(), [](const auto& v) { return v == 1; }));
      }
}

void test_numbers_of_threads() {
  for (const int threads : {-1, INT32_MIN, kMaxThreads + 1, INT32_MAX})
    for (const int64_t n : {0, 1, 100}) {
      CHECK_THROWS(parallel_for(n, 1, threads, [](int64_t, int64_t) {}), std::invalid_argument);
      CHECK_THROWS(checked_threads(threads), std::invalid_argument);
    }
  CHECK(checked_threads(0) == default_threads());
  CHECK(checked_threads(kMaxThreads) == kMaxThreads);
}

}  // namespace

int main() {
  test_sequence_offsets();
  test_chunks_of_unequal_events();
  test_numbers_of_threads();
  return evtok_test::report();
}
