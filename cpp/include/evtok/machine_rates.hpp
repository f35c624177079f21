// Two loops that say what a machine can do: the benchmarks give the fraction that a kernel reaches of each.
#pragma once

#include <cstdint>

namespace evtok {

/// Copies source (n,) to target (n,), both borrowed, on `threads` threads (0: default_threads()). `streaming`
/// writes past the caches, so that no line of the target is first read into them; it needs a target aligned
/// to 16 bytes.
void copy_bytes(const uint8_t* source, int64_t n, bool streaming, int threads, uint8_t* target);

/// Multiply-adds that ran, and the mean of what they left: exactly 2 after 64 steps or more.
struct MultiplyAdds {
  int64_t count;
  double mean;
};

/// Runs `steps` float32 multiply-adds a <- a / 2 + 1 in each of as many independent lanes as keep the units
/// of active_isa() busy, on each of `threads` threads. They are fused, except for Isa::scalar, which has no
/// such instruction.
MultiplyAdds run_multiply_adds(int64_t steps, int threads);

inline constexpr int kMultiplyAddVectors = 12;  // two units times a latency of 4 or 5, and some to spare

/// One thread's part; each lane is stored to lanes (kMultiplyAddVectors * floats of a vector,).
void multiply_adds_avx2(int64_t steps, float* lanes);
void multiply_adds_avx512(int64_t steps, float* lanes);

}  // namespace evtok
