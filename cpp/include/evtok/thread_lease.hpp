// Memory that a thread keeps from call to call, lent to one call at a time.
//
// A kernel that asks for Ctrl-C (check_stop) in the middle of its work may run a signal's handler there,
// which may call the same kernel on the same thread: that call finds the memory lent out, and gets its own.
#pragma once

#include <memory>
#include <utility>

namespace evtok {

/// Lends this thread's Memory while it lives, then has it shrink(), however the call ended.
template <class Memory> class ThreadLease {
public:
  ThreadLease() : memory_(std::exchange(kept(), nullptr)) {
    if (memory_ == nullptr) memory_ = std::make_unique<Memory>();
  }
  ~ThreadLease() {
    memory_->shrink();
    kept() = std::move(memory_);
  }
  ThreadLease(const ThreadLease&) = delete;
  ThreadLease& operator=(const ThreadLease&) = delete;

  Memory& operator*() const { return *memory_; }

private:
  static std::unique_ptr<Memory>& kept() {
    thread_local std::unique_ptr<Memory> memory;
    return memory;
  }

  std::unique_ptr<Memory> memory_;
};

}  // namespace evtok
