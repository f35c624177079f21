// Products of small bfloat16 matrices by a warp (tensor cores), and copies to shared memory that go on while
// the warp computes, the same under nvcc and in an emulated build.
//
// A tensor core adds the products of a tile in an order and with a rounding of its own, which no document
// gives; the emulation adds them in float64 and rounds once. So what is computed here may only filter, with
// a bound that covers any order, or be a score within a tolerance. Its exact properties are those of bfloat16
// inputs: the product of two is exact in float32. Whether subnormal numbers count is not promised either.
//
// Lane l of the warp has g = l / 4 and t = l % 4. A pair is two bfloat16 in 32 bits, the first in the low
// half.
//   A (16, 16)  pairs of columns 2t, 2t + 1:  a[0] of row g, a[1] of row g + 8;  of columns 2t + 8, 2t + 9:
//               a[2] of row g, a[3] of row g + 8
//   B (16, 8)   of column g, pairs of rows:   b[0] 2t, 2t + 1;  b[1] 2t + 8, 2t + 9
//   C (16, 8)   of columns 2t, 2t + 1:        c[0], c[1] of row g;  c[2], c[3] of row g + 8
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "evtok/numerics.hpp"

namespace evtok::cuda {

// ---- bfloat16 by its bits ----

/// Rounded to the nearest, ties to even; too large becomes infinity, NaN stays one.
EVTOK_FORMULA uint16_t to_bfloat16(float x) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<uint16_t>(bits >> 16 | 0x40U);
  return static_cast<uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

EVTOK_FORMULA float from_bfloat16(uint16_t x) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(x) << 16);
}

EVTOK_FORMULA uint32_t pair_of(uint16_t first, uint16_t second) {
  return static_cast<uint32_t>(second) << 16 | first;
}

/// x = high + low + lowest as far as 8 bits each reach: |x - high| <= 2^-8 |high|, |x - high - low| <= 2^-17
/// |high|, and nothing is left of a normal x after three (unless a part is below 2^-126, or x rounds to
/// infinity).
struct SplitFloat {
  uint16_t high, low, lowest;
};
EVTOK_FORMULA SplitFloat split(float x) {
  SplitFloat s;
  s.high = to_bfloat16(x);
  const float rest = x - from_bfloat16(s.high);  // exact
  s.low = to_bfloat16(rest);
  s.lowest = to_bfloat16(rest - from_bfloat16(s.low));
  return s;
}

#if defined(__CUDACC__) || defined(EVTOK_CUDA_EMULATED)

// ---- a product of the warp ----

/// C += A B; every lane of the warp takes part.
__device__ __forceinline__ void multiply_add(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(EVTOK_CUDA_EMULATED)
  struct Operands {
    uint32_t a[4], b[2];
  };
  Operands own;
  std::memcpy(own.a, a, sizeof a);
  std::memcpy(own.b, b, sizeof b);
  std::memcpy(emulation::slot(emulation::lane()), &own, sizeof own);
  emulation::warp_barrier(0xFFFFFFFFU);
  const int g = emulation::lane() / 4, t = emulation::lane() % 4;
  const auto operands = [](int lane) { return static_cast<const Operands*>(emulation::slot(lane)); };
  for (int i = 0; i < 4; ++i) {
    double sum = static_cast<double>(c[i]);
    for (int k = 0; k < 16; ++k) {
      const uint32_t left = operands(4 * g + k % 8 / 2)->a[k / 8 * 2 + i / 2];
      const uint32_t right = operands(4 * (2 * t + i % 2) + k % 8 / 2)->b[k / 8];
      const int shift = k % 2 * 16;
      sum += static_cast<double>(from_bfloat16(static_cast<uint16_t>(left >> shift))) *
             static_cast<double>(from_bfloat16(static_cast<uint16_t>(right >> shift)));
    }
    c[i] = static_cast<float>(sum);
  }
  emulation::warp_barrier(0xFFFFFFFFU);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/// Four (8, 8) matrices of bfloat16 from shared memory: lane l brings the address of row l % 8 (16 bytes,
/// aligned to 16) of matrix l / 8, and out[m] is its pair of columns 2t, 2t + 1 of row g of matrix m. With
/// rows of A in shared memory: matrices (rows 0-7, columns 0-7), (8-15, 0-7), (0-7, 8-15), (8-15, 8-15) are
/// a[0..3]. With the columns of B as rows there: (0-7, k 0-7) and (0-7, k 8-15) are b[0..1].
__device__ __forceinline__ void load_matrices(uint32_t (&out)[4], const void* row) {
#if defined(EVTOK_CUDA_EMULATED)
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) std::abort();
  std::memcpy(emulation::slot(emulation::lane()), &row, sizeof row);
  emulation::warp_barrier(0xFFFFFFFFU);
  for (int m = 0; m < 4; ++m) {
    const unsigned char* from;
    std::memcpy(&from, emulation::slot(8 * m + emulation::lane() / 4), sizeof from);
    std::memcpy(&out[m], from + 4 * (emulation::lane() % 4), 4);
  }
  emulation::warp_barrier(0xFFFFFFFFU);
#else
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(address)
               : "memory");
#endif
}

// ---- copies that overlap with work ----

/// Begins to copy 16 bytes, both addresses aligned to 16, into shared memory, or to write zeros there where
/// not `there` (`from` is then not read). The bytes are to be read after wait_for_copies, by other threads
/// after a barrier behind it.
__device__ __forceinline__ void copy_later(void* to_shared, const void* from, bool there = true) {
#if defined(EVTOK_CUDA_EMULATED)
  emulation::copy_later(to_shared, there ? from : nullptr);
#else
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(to_shared));
  const uint32_t bytes = there ? 16U : 0U;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n"
               :
               : "r"(address), "l"(__cvta_generic_to_global(from)), "r"(bytes)
               : "memory");
#endif
}

/// Makes a group of the copies that this thread has begun since the last call (none is a group too).
__device__ __forceinline__ void commit_copies() {
#if defined(EVTOK_CUDA_EMULATED)
  emulation::commit_copies();
#else
  asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}

/// Waits until at most the last kGroups groups of this thread are under way.
template <int kGroups> __device__ __forceinline__ void wait_for_copies() {
#if defined(EVTOK_CUDA_EMULATED)
  emulation::wait_for_copies(kGroups);
#else
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kGroups) : "memory");
#endif
}

#endif

}  // namespace evtok::cuda
