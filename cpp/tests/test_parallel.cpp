// Loops on the thread pool: results, exceptions, cancellation. Results compare with ==; times are bounds that
// a loaded machine keeps. test_process.cpp tests what the pool means for the process.
#include "evtok/parallel.hpp"

#include <atomic>
#include <chrono>
#include <new>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.hpp"
#include "loops.hpp"

namespace {

using namespace evtok;
using namespace evtok_test;

// ---- results

void test_results() {
  for (const int64_t n : {0, 1, 2, 7, 8, 9, 100, 1000, 4097})
    for (const int64_t grain : {1, 3, 64, 5000})
      for (int threads = 0; threads <= 7; ++threads) CHECK(squares_are_right(n, grain, threads));
  bool called = false;
  for (const int64_t n : {int64_t{0}, int64_t{-5}, INT64_MIN})
    parallel_for(n, 4, 2, [&](int64_t, int64_t) { called = true; });
  CHECK(!called);
}

// P18: row numbers are 64 bits wide.
void test_p18_more_than_2_to_31_rows() {
  const int64_t n = (int64_t{1} << 40) + 5, grain = (int64_t{1} << 33) + 1;
  std::atomic<int64_t> rows{0}, last{0};
  parallel_for(n, grain, 3, [&](int64_t begin, int64_t end) {
    rows += end - begin;
    if (end == n) last = begin;
  });
  CHECK(rows == n);
  CHECK(last == n / grain * grain);
}

// Nested calls run on the thread that makes them, and give the same result.
void test_p28_nested_calls_are_serial() {
  std::atomic<int> elsewhere{0};
  std::atomic<int64_t> rows{0};
  on_each_thread(3, [&](int64_t) {
    const auto self = std::this_thread::get_id();
    parallel_for(100, 1, 8, [&](int64_t begin, int64_t end) {
      elsewhere += std::this_thread::get_id() != self;
      rows += end - begin;
    });
  });
  CHECK(elsewhere == 0);
  CHECK(rows == 300);
}

void test_p24_many_callers_at_once() {
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int c = 0; c < 8; ++c)
    callers.emplace_back([&, c] {
      for (int k = 0; k < (kThreadSanitizer ? 20 : 100); ++k)
        wrong += !squares_are_right(200 + c, 1 + k % 7, 1 + k % 5);
    });
  for (auto& caller : callers) caller.join();
  CHECK(wrong == 0);
}

// ---- exceptions

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void test_p30_exceptions_are_carried_out() {
  for (const int threads : {1, 2, 5})
    for (const int64_t bad_row : {0, 1, 57, 99}) {
      CHECK_THROWS(parallel_for(100, 1, threads,
                                [&](int64_t begin, int64_t) {
                                  if (begin == bad_row) throw Failure("row");
                                }),
                   Failure);
      CHECK(squares_are_right(100, 1, threads));  // the pool is as good as before
    }
  CHECK_THROWS(parallel_for(4, 1, 4, [](int64_t, int64_t) { throw std::bad_alloc{}; }), std::bad_alloc);

  // Thrown on workers only: the caller's thread waits for them inside its body.
  const auto caller = std::this_thread::get_id();
  std::atomic<int> thrown{0};
  CHECK_THROWS(on_each_thread(3,
                              [&](int64_t) {
                                if (std::this_thread::get_id() == caller) return;
                                ++thrown;
                                throw Failure("worker");
                              }),
               Failure);
  CHECK(thrown == 2);
}

// ---- cancellation

std::atomic<bool> stop_wanted{false};
std::atomic<int> asked{0};
std::atomic<int> asked_elsewhere{0};
std::thread::id asking_thread;

bool ask() {
  ++asked;
  asked_elsewhere += std::this_thread::get_id() != asking_thread;
  return stop_wanted.load();
}

void test_p29_cancellation() {
  asking_thread = std::this_thread::get_id();
  set_interrupt_check(&ask);
  for (const int threads : {1, 4}) {
    stop_wanted = false;
    asked = 0;
    std::atomic<int64_t> rows{0};
    Clock::time_point pressed;
    std::thread presser([&] {
      sleep_ms(120);
      pressed = Clock::now();
      stop_wanted = true;
    });
    CHECK_THROWS(parallel_for(100'000, 1, threads,
                              [&](int64_t, int64_t) {
                                ++rows;
                                sleep_ms(2);
                              }),
                 Cancelled);
    const auto returned = Clock::now();
    presser.join();
    CHECK(std::chrono::duration<double>(returned - pressed).count() < 0.2);
    CHECK(asked > 0 && asked < 20);
    CHECK(rows < 100'000);
    const int64_t rows_then = rows;
    sleep_ms(20);
    CHECK(rows == rows_then);  // no thread works on after the call has returned
  }
  stop_wanted = false;
  CHECK(squares_are_right(1000, 1, 4));

  // The caller has run out of chunks and waits for one slow worker: it asks on, and a worker never asks.
  asked = 0;
  const auto caller = std::this_thread::get_id();
  on_each_thread(2, [&](int64_t) {
    if (std::this_thread::get_id() != caller) sleep_ms(300);
  });
  CHECK(asked >= 2);
  CHECK(asked_elsewhere == 0);
  set_interrupt_check(nullptr);
}

// Work that is no loop asks between its parts; what is called inside of a loop leaves that to the loop.
void test_p29_work_between_loops_asks() {
  check_interrupt();  // nobody to ask: nothing happens
  set_interrupt_check(&ask);
  asking_thread = std::this_thread::get_id();
  stop_wanted = false;
  asked = 0;
  check_interrupt();
  CHECK(asked == 1);
  stop_wanted = true;
  CHECK_THROWS(check_interrupt(), Cancelled);
  asked = 0;
  bool asked_inside = false;
  try {
    parallel_for(1, 1, 1, [&](int64_t, int64_t) {
      const int before = asked;
      check_interrupt();
      asked_inside = asked != before;
    });
  } catch (const Cancelled&) {  // the loop may ask itself
  }
  CHECK(!asked_inside);
  stop_wanted = false;
  set_interrupt_check(nullptr);
}

// A chunk that takes long asks by itself, on whichever thread it runs, and in a nested loop too.
void test_p29_a_body_asks() {
  check_stop();  // outside of a loop: nothing happens
  set_interrupt_check(&ask);
  for (const int threads : {1, 3})
    for (const bool nested : {false, true}) {
      stop_wanted = false;
      std::atomic<int> running{0};
      Clock::time_point pressed;
      std::thread presser([&] {
        sleep_ms(80);
        pressed = Clock::now();
        stop_wanted = true;
      });
      const auto work = [&](int64_t, int64_t) {
        ++running;
        const auto start = Clock::now();
        while (seconds_since(start) < 10) {
          sleep_ms(1);
          check_stop();
        }
      };
      CHECK_THROWS(parallel_for(3, 1, threads,
                                [&](int64_t begin, int64_t end) {
                                  if (nested)
                                    parallel_for(1, 1, 1, work);
                                  else
                                    work(begin, end);
                                }),
                   Cancelled);
      const auto returned = Clock::now();
      presser.join();
      CHECK(std::chrono::duration<double>(returned - pressed).count() < 0.2);
      CHECK(running >= 1 && running <= threads);
    }
  stop_wanted = false;

  // An error of one body ends the others, and is the one that comes out.
  for (int64_t thrower = 0; thrower < 3; ++thrower)
    CHECK_THROWS(on_each_thread(3,
                                [&](int64_t i) {
                                  if (i == thrower) throw std::out_of_range("this one");
                                  const auto start = Clock::now();
                                  while (seconds_since(start) < 10) {
                                    sleep_ms(1);
                                    check_stop();
                                  }
                                }),
                 std::out_of_range);
  // A body may throw Cancelled for reasons of its own.
  for (const int threads : {1, 2})
    CHECK_THROWS(parallel_for(2, 1, threads, [](int64_t, int64_t) { throw Cancelled{}; }), Cancelled);
  CHECK(squares_are_right(1000, 1, 4));
  set_interrupt_check(nullptr);
}

}  // namespace

int main() {
  test_results();
  test_p18_more_than_2_to_31_rows();
  test_p28_nested_calls_are_serial();
  test_p24_many_callers_at_once();
  test_p30_exceptions_are_carried_out();
  test_p29_cancellation();
  test_p29_work_between_loops_asks();
  test_p29_a_body_asks();
  return report();
}
