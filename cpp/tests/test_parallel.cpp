// The thread pool: results, exceptions, cancellation, threads, fork, signals and the floating-point
// environment. Results compare with ==; times are bounds that a loaded machine keeps.
#include "evtok/parallel.hpp"

#include <dirent.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <new>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#ifdef EVTOK_X86
#include <xmmintrin.h>
#endif

#include "check.hpp"

#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif

namespace {

using namespace evtok;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void sleep_ms(int ms) {
  std::this_thread::sleep_for(milliseconds(ms));
}

int threads_of_process() {
  DIR* const folder = opendir("/proc/self/task");
  int count = 0;
  while (const dirent* entry = readdir(folder)) count += entry->d_name[0] != '.' ? 1 : 0;
  closedir(folder);
  return count;
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Squares of row numbers, each row written once.
bool squares_are_right(int64_t n, int64_t grain, int threads) {
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

// ---- results
// -----------------------------------------------------------------------------------------------------

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
// --------------------------------------------------------------------------------------------------

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
// ------------------------------------------------------------------------------------------------

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

// ---- threads
// -----------------------------------------------------------------------------------------------------

void test_p28_threads_are_few_and_sleep() {
  on_each_thread(4, [](int64_t) {});
  const int after_first = threads_of_process();
  for (int k = 0; k < 50; ++k) CHECK(squares_are_right(64, 1, 4));
  CHECK(threads_of_process() == after_first);  // kept, not started anew
  sleep_ms(50);
  const double before = cpu_seconds();
  sleep_ms(400);
  CHECK(cpu_seconds() - before < 0.05);
}

void test_p28_default_threads() {
  const int cpus = available_cpus();
  CHECK(cpus >= 1);
  unsetenv("EVTOK_NUM_THREADS");
  CHECK(default_threads() == cpus);
  setenv("EVTOK_NUM_THREADS", "3", 1);
  CHECK(default_threads() == 3);
  for (const char* bad : {"0", "-1", "two", "3x", " ", "99999999999999999999"}) {
    setenv("EVTOK_NUM_THREADS", bad, 1);
    CHECK_THROWS(default_threads(), std::runtime_error);
  }
  unsetenv("EVTOK_NUM_THREADS");
}

// Signals stay with the caller's threads: Python's handlers run on its main thread alone.
void test_workers_block_signals() {
  const auto caller = std::this_thread::get_id();
  std::atomic<int> open{0};
  sigset_t before, after;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  on_each_thread(4, [&](int64_t) {
    if (std::this_thread::get_id() == caller) return;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGALRM, SIGUSR1, SIGCHLD})
      open += !sigismember(&mask, signal);
  });
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  CHECK(open == 0);
  for (const int signal : {SIGINT, SIGTERM, SIGALRM})
    CHECK(sigismember(&before, signal) == sigismember(&after, signal));
}

// ---- fork
// --------------------------------------------------------------------------------------------------------

// Exit status of a child that computes; a child that hangs is killed by its alarm.
int status_of_child() {
  const pid_t child = fork();
  if (child == 0) {
    alarm(5);
    _exit(squares_are_right(2000, 1, 4) && squares_are_right(50, 7, 2) ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

void test_p26_fork() {
  if (kThreadSanitizer) {
    std::puts("SKIP fork: ThreadSanitizer does not support threads in a forked child");
    return;
  }
  CHECK(squares_are_right(1000, 1, 4));
  CHECK(status_of_child() == 0);

  // In the middle of the loops of other threads, while they hold and release the pool's locks.
  std::atomic<bool> finished{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> busy;
  for (int t = 0; t < 2; ++t)
    busy.emplace_back([&] {
      while (!finished) wrong += !squares_are_right(100, 1, 3);
    });
  for (int k = 0; k < 20; ++k) CHECK(status_of_child() == 0);
  finished = true;
  for (auto& thread : busy) thread.join();
  CHECK(wrong == 0);
  CHECK(squares_are_right(1000, 1, 4));  // the parent goes on
}

// ---- floating-point environment
// ----------------------------------------------------------------------------------

#ifdef EVTOK_X86
// P9: inside a loop subnormals are computed and rounding is to nearest, whatever the caller had set; the
// caller finds its own setting again, also after an exception.
void test_p9_float_environment() {
  constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040, kRoundUp = 0x4000, kStatus = 0x3F;
  const unsigned original = _mm_getcsr();
  for (const unsigned unusual :
       {kFlushToZero, kDenormalsAreZero, kRoundUp, kFlushToZero | kDenormalsAreZero | kRoundUp})
    for (const int threads : {1, 4}) {
      _mm_setcsr((original & ~kStatus) | unusual);
      const unsigned mine = _mm_getcsr();
      std::atomic<int> wrong{0};
      on_each_thread(threads, [&](int64_t) {
        wrong += (_mm_getcsr() & ~kStatus) != 0x1F80u;
        volatile double tiny = 5e-324, half = 0.5, one = 1, small = 1e-20;
        wrong += !(tiny * one > 0) || tiny * half != 0 || one + small != one;
      });
      CHECK(wrong == 0);
      CHECK(_mm_getcsr() == mine);
      try {
        parallel_for(8, 1, threads, [](int64_t, int64_t) { throw Failure("inside"); });
      } catch (const Failure&) {
      }
      CHECK(_mm_getcsr() == mine);
    }
  _mm_setcsr(original);
}
#endif

}  // namespace

int main() {
  test_results();
  test_p18_more_than_2_to_31_rows();
  test_p28_nested_calls_are_serial();
  test_p24_many_callers_at_once();
  test_p30_exceptions_are_carried_out();
  test_p29_cancellation();
  test_p28_threads_are_few_and_sleep();
  test_p28_default_threads();
  test_workers_block_signals();
  test_p26_fork();
#ifdef EVTOK_X86
  test_p9_float_environment();
#endif
  return evtok_test::report();
}
