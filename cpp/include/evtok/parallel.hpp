// Runs a loop over rows on a small pool of threads.
//
// The pool is ours because OpenMP regions hang a forked child and a second OpenMP runtime beside torch's
// changes its thread count. Threads sleep when idle, block every signal, and are made anew in a forked child.
// A call made from inside a loop body runs serially, so nested calls never multiply threads. Rows are handed
// out in chunks to whichever thread is free: a body must write only what belongs to its rows, and then the
// result cannot depend on the threads. A body runs in the FloatEnvironment of the contract; where the CPU is
// not x86 that is its rounding alone.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>

#include "evtok/float_environment.hpp"

namespace evtok {

/// Thrown by parallel_for when the interrupt check asked to stop; the results are incomplete.
struct Cancelled : std::exception {
  const char* what() const noexcept override { return "interrupted"; }
};

/// Asked about every 50 ms on the calling thread while a loop runs; true means stop (Ctrl-C was pressed).
using InterruptCheck = bool (*)();
void set_interrupt_check(InterruptCheck check);

/// CPUs that this process may use: the affinity mask, limited by the cgroups' quota, at least 1.
int available_cpus();

/// Threads of a call that names none: EVTOK_NUM_THREADS, else available_cpus(). Throws std::runtime_error
/// when EVTOK_NUM_THREADS is not a positive number.
int default_threads();

/// The most threads that a call may ask for.
inline constexpr int kMaxThreads = 4096;

/// `threads`, or default_threads() for 0. Throws std::invalid_argument outside 0..kMaxThreads.
int checked_threads(int threads);

/// Calls body(begin, end) over disjoint chunks of [0, n) of at most `grain` rows.
/// `threads` as for checked_threads. The first exception of a body is rethrown here, once every thread has
/// stopped.
void parallel_for(int64_t n, int64_t grain, int threads, const std::function<void(int64_t, int64_t)>& body);

/// For the bodies of loops whose chunks take long: throws Cancelled once the loop is to end. On the thread
/// that called the loop it asks the interrupt check, every 50 ms; outside of a loop it does nothing.
void check_stop();

/// For long work that is no loop, between its parts: throws Cancelled when the interrupt check asks to stop.
/// Inside of a loop it does nothing.
void check_interrupt();

/// parallel_for over events [0, n_events): a chunk takes whole events of together about `grain` objects and
/// events, however unequal they are. offsets (n_events + 1,) not decreasing, borrowed.
void parallel_for_events(const int64_t* offsets, int64_t n_events, int64_t grain, int threads,
                         const std::function<void(int64_t, int64_t)>& body);

}  // namespace evtok
