// Loops that the tests of the thread pool share.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <thread>
#include <vector>

#include "evtok/parallel.hpp"

#if defined(__SANITIZE_THREAD__)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

namespace evtok_test {

using Clock = std::chrono::steady_clock;
using evtok::parallel_for;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

inline void sleep_ms(int ms) {
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));
}

// Squares of row numbers, each row written once.
inline bool squares_are_right(int64_t n, int64_t grain, int threads) {
  std::vector<int64_t> out(static_cast<size_t>(n), -1);
  std::vector<int32_t> visits(static_cast<size_t>(n), 0);
  parallel_for(n, grain, threads, [&](int64_t begin, int64_t end) {
    if (end - begin > grain || begin >= end) std::abort();
    for (int64_t i = begin; i < end; ++i) {
      out[static_cast<size_t>(i)] = i * i;
      ++visits[static_cast<size_t>(i)];
    }
  });
  bool right = true;
  for (int64_t i = 0; i < n; ++i)
    right &= out[static_cast<size_t>(i)] == i * i && visits[static_cast<size_t>(i)] == 1;
  return right;
}

// Runs until every one of `count` threads is inside a body, so that all of them surely take part.
template <class Body> void on_each_thread(int count, Body body) {
  std::atomic<int> arrived{0};
  parallel_for(count, 1, count, [&](int64_t begin, int64_t) {
    ++arrived;
    const auto start = Clock::now();
    while (arrived.load() < count && seconds_since(start) < 10) sleep_ms(1);
    body(begin);
  });
}

}  // namespace evtok_test
