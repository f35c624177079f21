#include "block.hpp"

#include <ucontext.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <random>
#include <vector>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace evtok::emulation {
namespace {

constexpr size_t kStack = 256 * 1024;

enum class State { ready, at_block_barrier, at_warp_barrier, done };

struct Copy {
  void* to;
  const void* from;
};

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  uint3 index;
  int number = 0;
  State state = State::ready;
  unsigned mask = 0;                     // of the warp barrier that it waits for
  std::vector<Copy> begun;               // not yet in a group
  std::deque<std::vector<Copy>> groups;  // the oldest first
};

struct Warp {
  alignas(16) unsigned char slots[32][32];
};

uint64_t order_seed = 0;
std::vector<Fiber> fibers;  // kept between blocks, with their stacks
std::vector<Warp> warps;
std::unique_ptr<unsigned char[]> shared;
ucontext_t scheduler;
Fiber* running = nullptr;
const std::function<void()>* body = nullptr;

std::vector<size_t> ordered(size_t n, uint64_t salt) {
  std::vector<size_t> order(n);
  for (size_t i = 0; i < n; ++i) order[i] = i;
  if (order_seed == 1) std::reverse(order.begin(), order.end());
  if (order_seed > 1) std::shuffle(order.begin(), order.end(), std::mt19937_64(order_seed * 1000003 + salt));
  return order;
}

void start() {
  (*body)();
  running->state = State::done;
  swapcontext(&running->context, &scheduler);
}

void wait(State state) {
  running->state = state;
  swapcontext(&running->context, &scheduler);
}

[[noreturn]] void stuck(size_t n) {
  size_t at_block = 0, at_warp = 0, done = 0;
  for (size_t i = 0; i < n; ++i) {
    at_block += fibers[i].state == State::at_block_barrier;
    at_warp += fibers[i].state == State::at_warp_barrier;
    done += fibers[i].state == State::done;
  }
  std::fprintf(stderr,
               "emulation: block %u: %zu threads wait for the block, %zu for their warp, %zu have ended: a "
               "barrier that "
               "not all threads reach\n",
               blockIdx.x, at_block, at_warp, done);
  std::abort();
}

/// Lets threads go on whose barrier all have reached; says whether there were any.
bool release(size_t n) {
  bool any = false;
  for (size_t first = 0; first < n; first += 32) {
    const size_t last = std::min(n, first + 32);
    for (size_t i = first; i < last; ++i) {
      if (fibers[i].state != State::at_warp_barrier) continue;
      const unsigned mask = fibers[i].mask;
      bool all = true;
      for (unsigned l = 0; l < 32; ++l)
        if (mask >> l & 1)
          all = all && first + l < n && fibers[first + l].state == State::at_warp_barrier &&
                fibers[first + l].mask == mask;
      if (!all) continue;
      for (unsigned l = 0; l < 32; ++l)
        if (mask >> l & 1) fibers[first + l].state = State::ready;
      any = true;
    }
  }
  if (any) return true;
  for (size_t i = 0; i < n; ++i)
    if (fibers[i].state != State::at_block_barrier) return false;
  for (size_t i = 0; i < n; ++i) fibers[i].state = State::ready;
  return true;
}

// Apart from the loop over threads: getcontext returns twice for the compiler, which distrusts a counter
// beside it.
void prepare(size_t i) {
  Fiber& f = fibers[i];
  f.number = static_cast<int>(i);
  f.index = {static_cast<unsigned>(i % blockDim.x), static_cast<unsigned>(i / blockDim.x % blockDim.y),
             static_cast<unsigned>(i / blockDim.x / blockDim.y)};
  f.state = State::ready;
  f.begun.clear();
  f.groups.clear();
  getcontext(&f.context);
  f.context.uc_stack.ss_sp = f.stack.get();
  f.context.uc_stack.ss_size = kStack;
  f.context.uc_link = nullptr;
  makecontext(&f.context, start, 0);
}

void run_block(size_t n) {
  for (size_t i = 0; i < n; ++i) prepare(i);
  for (uint64_t round = 0;; ++round) {
    bool ran = false;
    for (const size_t i : ordered(n, round)) {
      if (fibers[i].state != State::ready) continue;
      running = &fibers[i];
      threadIdx = running->index;
      swapcontext(&scheduler, &running->context);
      ran = true;
    }
    if (ran) continue;
    if (std::all_of(fibers.begin(), fibers.begin() + static_cast<std::ptrdiff_t>(n),
                    [](const Fiber& f) { return f.state == State::done; }))
      return;
    if (!release(n)) stuck(n);
  }
}

}  // namespace

void set_order(uint64_t seed) {
  order_seed = seed;
}
void* shared_memory() {
  return shared.get();
}
int lane() {
  return running->number % 32;
}
void block_barrier() {
  wait(State::at_block_barrier);
}
void warp_barrier(unsigned mask) {
  if ((mask >> lane() & 1) == 0) {
    std::fprintf(stderr, "emulation: lane %d is not in the mask %08x of its barrier\n", lane(), mask);
    std::abort();
  }
  running->mask = mask;
  wait(State::at_warp_barrier);
}
void* slot(int of_lane) {
  return warps[static_cast<size_t>(running->number / 32)].slots[of_lane];
}

void copy_later(void* to, const void* from) {
  if (reinterpret_cast<uintptr_t>(to) % 16 != 0 || reinterpret_cast<uintptr_t>(from) % 16 != 0) {
    std::fprintf(stderr, "emulation: an asynchronous copy from or to an address that is not aligned to 16\n");
    std::abort();
  }
  std::memset(to, 0xAA, 16);
  running->begun.push_back({to, from});
}
void commit_copies() {
  running->groups.push_back(std::move(running->begun));
  running->begun.clear();
}
void wait_for_copies(size_t groups) {
  for (; running->groups.size() > groups; running->groups.pop_front())
    for (const Copy& copy : running->groups.front()) {
      if (copy.from != nullptr)
        std::memcpy(copy.to, copy.from, 16);
      else
        std::memset(copy.to, 0, 16);
    }
}

void run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& kernel) {
  const size_t n = size_t{block.x} * block.y * block.z, n_blocks = size_t{grid.x} * grid.y * grid.z;
  if (n == 0 || n > 1024 || n_blocks == 0) {
    std::fprintf(stderr, "emulation: a grid of %zu blocks of %zu threads\n", n_blocks, n);
    std::abort();
  }
  while (fibers.size() < n) {
    fibers.emplace_back();
    fibers.back().stack = std::make_unique<char[]>(kStack);
  }
  warps.resize((n + 31) / 32);
  shared.reset(new unsigned char[shared_bytes]);
  body = &kernel;
  blockDim = block;
  gridDim = grid;
  for (const size_t b : ordered(n_blocks, 77)) {
    blockIdx = {static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                static_cast<unsigned>(b / grid.x / grid.y)};
    std::fill_n(shared.get(), shared_bytes, static_cast<unsigned char>(0xAA));
    run_block(n);
  }
  shared.reset();
}

}  // namespace evtok::emulation
