#include "evtok/parallel.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <list>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

#include "evtok/cpu_quota.hpp"

namespace evtok {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kCheckEvery = std::chrono::milliseconds(50);

std::atomic<InterruptCheck> interrupt_check{nullptr};
thread_local bool inside_loop = false;

bool interrupted() {
  const InterruptCheck check = interrupt_check.load(std::memory_order_relaxed);
  return check != nullptr && check();
}

// Asks every 50 ms, on the thread that called a loop. `stop` is that of the loop, null while it runs
// serially.
struct StopCheck {
  const std::atomic<bool>* stop = nullptr;
  bool asks = false;
  Clock::time_point last{};
  bool pressed = false;

  // True when Ctrl-C was pressed; stays so.
  bool due() {
    if (!asks || pressed) return pressed;
    const auto now = Clock::now();
    if (now - last < kCheckEvery) return false;
    last = now;
    return pressed = interrupted();
  }
};
thread_local StopCheck stop_check;

// Sets this thread's check while it lives.
class StopCheckScope {
public:
  StopCheckScope(const std::atomic<bool>* stop, bool asks) : before_(stop_check) {
    stop_check = {stop, asks, Clock::now(), false};
  }
  ~StopCheckScope() { stop_check = before_; }
  StopCheckScope(const StopCheckScope&) = delete;
  StopCheckScope& operator=(const StopCheckScope&) = delete;

private:
  StopCheck before_;
};

// One parallel_for call. Lives on the caller's stack; the caller leaves only when `active` is zero.
struct Loop {
  const int64_t n, grain;
  const std::function<void(int64_t, int64_t)>& body;
  std::atomic<int64_t> next{0};
  std::atomic<bool> stop{false};
  int helpers_wanted;  // guarded by Pool::mutex, as are the three below
  int active = 0;
  std::exception_ptr error;
  std::condition_variable done;

  Loop(int64_t n_, int64_t grain_, const std::function<void(int64_t, int64_t)>& body_, int helpers)
      : n(n_), grain(grain_), body(body_), helpers_wanted(helpers) {}

  // Runs one chunk; false when none is left.
  bool run_chunk() {
    if (stop.load(std::memory_order_relaxed)) return false;
    const int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
    if (begin >= n) return false;
    body(begin, std::min(n, begin + grain));
    return true;
  }
};

class Pool {
public:
  void run(Loop& loop);

private:
  void start_workers(int count);
  void work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::list<Loop*> loops_;
  int workers_ = 0;
};

// Never destroyed: threads may still sleep in it when the process ends. A forked child gets a new one,
// because the old one's threads do not exist there and its mutex may have been held.
Pool* pool = nullptr;

void new_pool() {
  pool = new Pool;
}

Pool& the_pool() {
  static std::once_flag once;
  std::call_once(once, [] {
    new_pool();
    pthread_atfork(nullptr, nullptr, [] {
      inside_loop = false;
      new_pool();
    });
  });
  return *pool;
}

// Blocks every signal on this thread while it lives. Threads inherit the mask: signals stay with Python's
// main thread.
class BlockedSignals {
public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

private:
  sigset_t before_;
};

void Pool::start_workers(int count) {
  if (workers_ >= count) return;
  const BlockedSignals blocked;
  try {
    for (; workers_ < count; ++workers_) std::thread([this] { work(); }).detach();
  } catch (const std::exception&) {
    // No more threads, or no memory for one: the caller still does every chunk itself.
  }
}

void Pool::work() {
  inside_loop = true;
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto found =
        std::find_if(loops_.begin(), loops_.end(), [](const Loop* l) { return l->helpers_wanted > 0; });
    if (found == loops_.end()) {
      wake_.wait(lock);
      continue;
    }
    Loop& loop = **found;
    --loop.helpers_wanted;
    ++loop.active;
    lock.unlock();
    std::exception_ptr error;
    try {
      const FloatEnvironment environment;
      const StopCheckScope scope(&loop.stop, false);
      while (loop.run_chunk()) {
      }
    } catch (...) {
      // Where the loop has been stopped already, who stopped it says why.
      if (!loop.stop.exchange(true)) error = std::current_exception();
    }
    lock.lock();
    if (error && !loop.error) loop.error = error;
    if (--loop.active == 0) loop.done.notify_all();
  }
}

void Pool::run(Loop& loop) {
  std::list<Loop*>::iterator place;
  {
    const std::lock_guard lock(mutex_);
    start_workers(loop.helpers_wanted);
    place = loops_.insert(loops_.end(), &loop);
  }
  wake_.notify_all();

  std::exception_ptr error;
  bool cancelled = false;
  try {
    const StopCheckScope scope(&loop.stop, true);
    try {
      while (loop.run_chunk() && !stop_check.due()) {
      }
    } catch (const Cancelled&) {
      if (!stop_check.pressed && !loop.stop.load()) throw;  // else check_stop threw it
    }
    cancelled = stop_check.pressed;
  } catch (...) {
    error = std::current_exception();
  }
  if (error || cancelled) loop.stop.store(true, std::memory_order_relaxed);

  std::unique_lock lock(mutex_);
  loop.helpers_wanted = 0;
  loops_.erase(place);
  while (loop.active > 0) {
    if (loop.done.wait_for(lock, kCheckEvery) == std::cv_status::timeout && !cancelled) {
      lock.unlock();
      if (interrupted()) {
        cancelled = true;
        loop.stop.store(true, std::memory_order_relaxed);
      }
      lock.lock();
    }
  }
  if (!error) error = loop.error;
  lock.unlock();
  if (error) std::rethrow_exception(error);
  if (cancelled) throw Cancelled{};
}

void run_serially(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (inside_loop) {  // a nested call leaves the check to the outer loop's caller
    for (int64_t begin = 0; begin < n; begin += grain) body(begin, std::min(n, begin + grain));
    return;
  }
  const StopCheckScope scope(nullptr, true);
  for (int64_t begin = 0; begin < n; begin += grain) {
    body(begin, std::min(n, begin + grain));
    if (stop_check.due()) throw Cancelled{};
  }
}

int affinity_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

void set_interrupt_check(InterruptCheck check) {
  interrupt_check.store(check, std::memory_order_relaxed);
}

void check_interrupt() {
  if (!inside_loop && interrupted()) throw Cancelled{};
}

int available_cpus() {
  static const int by_quota = quota_cpus("");
  const int by_affinity = affinity_cpus();
  return by_quota > 0 ? std::min(by_affinity, by_quota) : by_affinity;
}

int default_threads() {
  const char* text = std::getenv("EVTOK_NUM_THREADS");
  if (text == nullptr || *text == '\0') return available_cpus();
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  if (*end != '\0' || value < 1 || value > kMaxThreads)
    throw std::runtime_error(std::string("EVTOK_NUM_THREADS=") + text +
                             ": expected a whole number from 1 to 4096");
  return static_cast<int>(value);
}

int checked_threads(int threads) {
  if (threads < 0 || threads > kMaxThreads)
    throw std::invalid_argument("threads: expected 0 (the default) to " + std::to_string(kMaxThreads) +
                                ", got " + std::to_string(threads));
  return threads == 0 ? default_threads() : threads;
}

void parallel_for(int64_t n, int64_t grain, int threads, const std::function<void(int64_t, int64_t)>& body) {
  const int most = checked_threads(threads);
  if (n <= 0) return;
  grain = std::max<int64_t>(1, grain);
  const int64_t chunks = (n + grain - 1) / grain;
  const int64_t wanted = std::min<int64_t>(most, chunks);
  const FloatEnvironment environment;
  if (wanted <= 1 || inside_loop) {
    run_serially(n, grain, body);
    return;
  }
  Loop loop(n, grain, body, static_cast<int>(wanted) - 1);
  struct Inside {
    Inside() { inside_loop = true; }
    ~Inside() { inside_loop = false; }
  } inside;
  the_pool().run(loop);
}

void check_stop() {
  if (stop_check.stop != nullptr && stop_check.stop->load(std::memory_order_relaxed)) throw Cancelled{};
  if (stop_check.due()) throw Cancelled{};
}

void parallel_for_events(const int64_t* offsets, int64_t n_events, int64_t grain, int threads,
                         const std::function<void(int64_t, int64_t)>& body) {
  const auto work_before = [&](int64_t event) { return offsets[event] - offsets[0] + event; };
  // The first event with at least that much work before it.
  const auto first_event = [&](int64_t work) {
    int64_t low = 0, high = n_events;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (work_before(middle) < work)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  };
  const int64_t n_chunks = n_events > 0 ? (work_before(n_events) + grain - 1) / grain : 0;
  parallel_for(n_chunks, 1, threads, [&](int64_t chunk, int64_t) {
    const int64_t begin = first_event(chunk * grain), end = first_event((chunk + 1) * grain);
    if (begin < end) body(begin, end);
  });
}

}  // namespace evtok
