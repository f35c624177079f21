// Sequences and their offsets beside the CPU's, and checks of offsets.
#include "sequences.cuh"

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"
#include "evtok/offsets.hpp"
#include "evtok/tokenize.hpp"
#include "offsets.cuh"
#include "orders.hpp"

namespace {

using namespace evtok;

std::vector<int64_t> offsets_of(size_t n_events, int64_t largest, bool with_long) {
  std::mt19937_64 random(n_events);
  std::vector<int64_t> offsets{0};
  for (size_t i = 0; i < n_events; ++i) {
    const bool is_long = with_long && i % 5 == 2;
    const auto n = is_long ? 250 + static_cast<int64_t>(random() % 300)
                           : static_cast<int64_t>(random() % 9) * largest / 8;
    offsets.push_back(offsets.back() + n);
  }
  return offsets;
}

// The ids of objects are digits of one feature of `width`, given; what is tested is how they are laid out.
template <class T> void sequences_are_those_of_the_cpu(size_t n_events, int64_t largest, bool with_long) {
  const auto offsets = offsets_of(n_events, largest, with_long);
  const int64_t n = static_cast<int64_t>(n_events), n_objects = offsets.back();
  int64_t longest = 0;
  for (size_t i = 0; i < n_events; ++i) longest = std::max(longest, offsets[i + 1] - offsets[i]);
  std::vector<int32_t> digits[2], event_ids(n_events);
  std::vector<T> values(static_cast<size_t>(n_objects));
  std::mt19937_64 random(9);
  for (auto& one : digits) {
    one.resize(static_cast<size_t>(n_objects));
    for (int32_t& digit : one) digit = static_cast<int32_t>(random() % 1000);
  }
  for (T& value : values)
    value = random() % 11 == 0 ? std::numeric_limits<T>::quiet_NaN() : static_cast<T>(random() % 20);
  for (size_t i = 0; i < n_events; ++i) event_ids[i] = static_cast<int32_t>(i);
  for (const int64_t width : {1, 2})
    for (const bool sorted : {false, true})
      for (const int64_t most : {INT64_MAX, int64_t{3}, int64_t{0}, int64_t{300}}) {
        RowIds rows;
        rows.factorised = true;
        for (int64_t k = 0; k < width; ++k) {
          Feature f;
          f.digits = digits[k].data();
          f.n_digits = 1000;
          rows.features.push_back(std::move(f));
        }
        evtok::SequencePlan cpu;
        cpu.before = {{7, nullptr}, {0, event_ids.data()}};
        cpu.after = {{9, nullptr}};
        cpu.max_objects = most;
        cuda::SequencePlan plan{};
        plan.around[0] = {7, nullptr};
        plan.around[1] = {0, event_ids.data()};
        plan.around[2] = {9, nullptr};
        plan.n_before = 2;
        plan.n_after = 1;
        plan.max_objects = most;
        if constexpr (std::is_same_v<T, float>)
          cpu.sort32 = plan.sort32 = sorted ? values.data() : nullptr;
        else
          cpu.sort64 = plan.sort64 = sorted ? values.data() : nullptr;

        std::vector<int64_t> expected_offsets(n_events + 1), out_offsets(n_events + 1, -7);
        const auto counts = evtok::sequence_offsets(offsets.data(), n, width, cpu, expected_offsets.data());
        std::vector<int32_t> expected(static_cast<size_t>(expected_offsets.back()));
        evtok::tokenize<int32_t>(rows, cpu, offsets.data(), n, expected_offsets.data(), 1, false,
                                 expected.data());

        std::vector<int64_t> partial(n_events / cuda::kEventsOfABlock + 2);
        unsigned long long cut[2] = {7, 7};
        CHECK(cuda::sequence_offsets(offsets.data(), n, width, plan, partial.data(), out_offsets.data(), cut,
                                     nullptr) == cudaSuccess);
        CHECK(out_offsets == expected_offsets);
        CHECK(cut[0] == static_cast<unsigned long long>(counts.truncated_events));
        CHECK(cut[1] == static_cast<unsigned long long>(counts.truncated_objects));
        std::vector<int32_t> ids(static_cast<size_t>(n_objects * width));
        for (int64_t i = 0; i < n_objects * width; ++i)
          ids[static_cast<size_t>(i)] = digits[i % width][static_cast<size_t>(i / width)];
        std::vector<int32_t> order(longest > cuda::kLongEvent ? static_cast<size_t>(2 * n_objects) : 0);
        std::vector<int32_t> out(expected.size(), -7);
        CHECK(cuda::sequences<int32_t>(ids.data(), offsets.data(), n, n_objects, width, longest, plan,
                                       out_offsets.data(), order.data(), out.data(), nullptr) == cudaSuccess);
        CHECK(out == expected);
      }
}

template <class I> void faults_are_those_of_the_cpu() {
  const std::vector<std::vector<I>> cases = {{0},          {3},    {0, 4},       {2, 2, 5},
                                             {0, 5, 3, 6}, {0, 7}, {0, 1, 1, 6}, {0, 6, 6}};
  for (const auto& x : cases)
    for (const int64_t content : {5, 6, 100})
      for (const int64_t most : {0, 3, 100}) {
        const auto n = static_cast<int64_t>(x.size()) - 1;
        const bool fault = evtok::check_offsets(x.data(), n, content, most).fault != OffsetsFault::none;
        std::vector<int64_t> checked(x.size());
        cuda::OffsetsSummary summary;
        CHECK(cuda::check_offsets(x.data(), n, content, most, checked.data(), &summary, nullptr) ==
              cudaSuccess);
        CHECK((summary.faults != 0) == fault);
        CHECK(summary.begin == int64_t{x.front()} && summary.end == int64_t{x.back()});
        if (fault) continue;
        int64_t longest = 0;
        for (size_t i = 0; i < x.size(); ++i) {
          CHECK(checked[i] == static_cast<int64_t>(x[i]) - static_cast<int64_t>(x[0]));
          if (i > 0) longest = std::max(longest, checked[i] - checked[i - 1]);
        }
        CHECK(summary.longest == longest);
      }
}

}  // namespace

int main() {
  sequences_are_those_of_the_cpu<float>(1030, 8, false);  // two blocks of the prefix sum
  evtok_test::in_every_order([] {
    for (const size_t n_events : {0, 1, 40}) sequences_are_those_of_the_cpu<float>(n_events, 8, false);
    sequences_are_those_of_the_cpu<double>(9, 8, false);
    sequences_are_those_of_the_cpu<float>(4, 60, true);
    sequences_are_those_of_the_cpu<double>(4, 60, true);
    faults_are_those_of_the_cpu<int32_t>();
    faults_are_those_of_the_cpu<uint32_t>();
    faults_are_those_of_the_cpu<int64_t>();
    const std::vector<int64_t> hostile = {-5, INT64_MAX, INT64_MIN, 3};
    std::vector<int64_t> checked(4);
    evtok::cuda::OffsetsSummary summary;
    CHECK(evtok::cuda::check_offsets(hostile.data(), 3, 10, 10, checked.data(), &summary, nullptr) ==
          cudaSuccess);
    CHECK(summary.faults != 0);
  });
  return evtok_test::report();
}
