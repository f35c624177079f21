// What the thread pool means for the process: threads, signals, fork, and the floating-point environment.
#include <dirent.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <new>
#include <stdexcept>
#include <thread>
#include <vector>

#ifdef EVTOK_X86
#include <xmmintrin.h>
#endif

#include "check.hpp"
#include "loops.hpp"

namespace {

using namespace evtok;
using namespace evtok_test;

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

// ---- threads

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

// ---- memory

thread_local int allocations_left = -1;  // on this thread, before one fails; negative means all succeed

// Whichever allocation of a call fails, starting threads among them: the caller's signals are as before, and
// the next call works.
void test_p30_no_memory_leaves_the_signals() {
  int failures = 0;
  for (int k = 0; k < 40; ++k) {
    const int threads = 12 + k;  // more than there are, so that some must be started
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, nullptr, &before);
    std::atomic<int64_t> rows{0};
    const std::function<void(int64_t, int64_t)> body = [&](int64_t begin, int64_t end) {
      rows += end - begin;
    };
    allocations_left = k % 8;
    try {
      parallel_for(threads, 1, threads, body);
      CHECK(rows == threads);
    } catch (const std::bad_alloc&) {
      ++failures;
    }
    failures += allocations_left < -1;
    allocations_left = -1;
    pthread_sigmask(SIG_SETMASK, nullptr, &after);
    for (const int signal : {SIGINT, SIGTERM, SIGALRM, SIGUSR1})
      CHECK(sigismember(&before, signal) == sigismember(&after, signal));
    CHECK(squares_are_right(100, 1, 3));
  }
  CHECK(failures > 0);
}

// ---- fork

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
        parallel_for(8, 1, threads, [](int64_t, int64_t) { throw std::runtime_error("inside"); });
      } catch (const std::runtime_error&) {
      }
      CHECK(_mm_getcsr() == mine);
    }
  _mm_setcsr(original);
}
#endif

}  // namespace

void* operator new(std::size_t size) {
  if (allocations_left > 0)
    --allocations_left;
  else if (allocations_left == 0)
    allocations_left = -2;  // this one fails, and the later ones do not
  void* const memory = allocations_left == -2 ? nullptr : std::malloc(size);
  if (allocations_left == -2) allocations_left = -3;
  if (memory == nullptr) throw std::bad_alloc{};
  return memory;
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

int main() {
  test_p28_threads_are_few_and_sleep();
  test_p28_default_threads();
  test_workers_block_signals();
  test_p30_no_memory_leaves_the_signals();
  test_p26_fork();
#ifdef EVTOK_X86
  test_p9_float_environment();
#endif
  return report();
}
