// Blocks of an emulated GPU: threads as fibers, barriers, and what the threads of a warp tell each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};

// As CUDA names them; those of the fiber that runs.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace evtok::emulation {

/// Runs `kernel` once for every thread of every block, blocks one after the other. Blocks, and between two
/// barriers the threads of a block, run in an order that hangs on the seed. Stops the program with a message
/// where threads wait for a barrier that others never reach.
void run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& kernel);

/// The order of run_grid from now on: 0 as they are numbered, 1 the other way round, else shuffled.
void set_order(uint64_t seed);

/// Shared memory of the block that runs, exactly `shared_bytes` of run_grid, 0xAA before the block writes it.
void* shared_memory();

int lane();
void block_barrier();
void warp_barrier(unsigned mask);
/// The place (32 bytes) where a lane of this warp leaves a value for the others.
void* slot(int of_lane);

/// Copies of 16 bytes to shared memory that this thread has begun: their place holds 0xAA until the thread
/// waits for them, because it may be written at any time before. `from` null writes zeros.
void copy_later(void* to, const void* from);
/// A group of all copies begun since the last one.
void commit_copies();
/// Does the copies of all groups but the last `groups`.
void wait_for_copies(size_t groups);

template <class T> T exchanged(unsigned mask, T value, int from) {
  static_assert(sizeof(T) <= 16);
  if (from < 0 || from > 31 || (mask >> from & 1) == 0) {
    std::fprintf(stderr, "emulation: lane %d asks for the value of lane %d, which mask %08x leaves out\n",
                 lane(), from, mask);
    std::abort();
  }
  std::memcpy(slot(lane()), &value, sizeof value);
  warp_barrier(mask);
  T result;
  std::memcpy(&result, slot(from), sizeof result);
  warp_barrier(mask);  // nobody writes the next value before all have read this one
  return result;
}

/// Folds the values of the lanes of `mask`, lowest lane first.
template <class T, class Fold> T gathered(unsigned mask, T value, Fold fold) {
  static_assert(sizeof(T) <= 16);
  std::memcpy(slot(lane()), &value, sizeof value);
  warp_barrier(mask);
  T all{};
  for (int from = 0; from < 32; ++from) {
    if ((mask >> from & 1) == 0) continue;
    T one;
    std::memcpy(&one, slot(from), sizeof one);
    all = fold(all, one, from);
  }
  warp_barrier(mask);
  return all;
}

}  // namespace evtok::emulation
