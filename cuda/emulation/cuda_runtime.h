// CUDA in plain C++, for tests on a machine without a GPU: the part of the language and of the run-time
// library that evtok's kernels use. A folder that holds a file of this name comes first in the include path
// of an emulated build, so that a kernel is compiled from the very lines that nvcc compiles.
//
// Threads of a block are fibers of one thread of the operating system (block.hpp). What an emulated run can
// show: wrong results, accesses outside of a buffer (under AddressSanitizer), reads of shared memory before
// it was written (it is filled with 0xAA), a barrier that not all threads reach, and most missing barriers,
// because the order of threads and blocks is shuffled. What it cannot show: speed, weak memory order, and
// anything about asynchronous copies or streams beyond their use.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include "block.hpp"

#define EVTOK_CUDA_EMULATED 1

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __grid_constant__

// ---- the run-time library
// -------------------------------------------------------------------------------------------

using cudaStream_t = struct CUstream_st*;
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInitializationError = 3,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorNoDevice = 100,
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
};
// Bytes a block may ask for: those of sm_90. Tests lower it, to those of another device.
inline int evtok_emulated_shared_bytes = 227 * 1024;
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };

inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "an error of the emulation";
}
inline cudaError_t cudaGetLastError() {
  return cudaSuccess;
}
inline cudaError_t cudaPeekAtLastError() {
  return cudaSuccess;
}
inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
inline cudaError_t cudaSetDevice(int device) {
  return device == 0 ? cudaSuccess : cudaErrorInvalidValue;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
  case cudaDevAttrMultiProcessorCount:
    *value = 2;
    return cudaSuccess;
  case cudaDevAttrComputeCapabilityMajor:
    *value = 9;
    return cudaSuccess;
  case cudaDevAttrComputeCapabilityMinor:
    *value = 0;
    return cudaSuccess;
  case cudaDevAttrMaxSharedMemoryPerBlockOptin:
    *value = evtok_emulated_shared_bytes;
    return cudaSuccess;
  }
  return cudaErrorInvalidValue;
}
struct cudaDeviceProp {
  char name[256];
};
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = {"emulated"};
  return device == 0 ? cudaSuccess : cudaErrorInvalidValue;
}
template <class Kernel> cudaError_t cudaFuncSetAttribute(Kernel*, cudaFuncAttribute, int bytes) {
  return bytes <= evtok_emulated_shared_bytes ? cudaSuccess : cudaErrorInvalidValue;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  if (bytes != 0) std::memcpy(to, from, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) {
  if (bytes != 0) std::memset(to, value, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) {
  return cudaSuccess;
}
inline cudaError_t cudaDeviceSynchronize() {
  return cudaSuccess;
}

// ---- vectors
// --------------------------------------------------------------------------------------------------------

#define EVTOK_EMULATED_VECTOR(type, name)                                                                    \
  struct alignas(2 * sizeof(type)) name##2 {                                                                 \
    type x, y;                                                                                               \
  };                                                                                                         \
  struct alignas(4 * sizeof(type) > 16 ? 16 : 4 * sizeof(type)) name##4 {                                    \
    type x, y, z, w;                                                                                         \
  };                                                                                                         \
  inline name##2 make_##name##2(type x, type y) {                                                            \
    return {x, y};                                                                                           \
  }                                                                                                          \
  inline name##4 make_##name##4(type x, type y, type z, type w) {                                            \
    return {x, y, z, w};                                                                                     \
  }
EVTOK_EMULATED_VECTOR(float, float)
EVTOK_EMULATED_VECTOR(int, int)
EVTOK_EMULATED_VECTOR(unsigned, uint)
EVTOK_EMULATED_VECTOR(unsigned char, uchar)
EVTOK_EMULATED_VECTOR(unsigned short, ushort)
#undef EVTOK_EMULATED_VECTOR
struct alignas(16) double2 {
  double x, y;
};
struct alignas(16) longlong2 {
  long long x, y;
};

// ---- intrinsics of one thread
// ---------------------------------------------------------------------------------------

inline float __fmaf_rn(float a, float b, float c) {
  return std::fma(a, b, c);
}
inline double __fma_rn(double a, double b, double c) {
  return std::fma(a, b, c);
}
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fsub_rn(float a, float b) {
  return a - b;
}
inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline int __popc(unsigned x) {
  return __builtin_popcount(x);
}
inline int __popcll(unsigned long long x) {
  return __builtin_popcountll(x);
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline int __clz(int x) {
  return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}
template <class To, class From> To evtok_emulated_bits(From x) {
  static_assert(sizeof(To) == sizeof(From));
  To bits;
  std::memcpy(&bits, &x, sizeof x);
  return bits;
}
inline int __float_as_int(float x) {
  return evtok_emulated_bits<int>(x);
}
inline unsigned __float_as_uint(float x) {
  return evtok_emulated_bits<unsigned>(x);
}
inline float __int_as_float(int x) {
  return evtok_emulated_bits<float>(x);
}
inline float __uint_as_float(unsigned x) {
  return evtok_emulated_bits<float>(x);
}
inline long long __double_as_longlong(double x) {
  return evtok_emulated_bits<long long>(x);
}
inline double __longlong_as_double(long long x) {
  return evtok_emulated_bits<double>(x);
}
template <class T> T __ldg(const T* p) {
  return *p;
}
template <class T> T __ldcs(const T* p) {
  return *p;
}
template <class T> void __stcs(T* p, T value) {
  *p = value;
}
using std::max;
using std::min;

// ---- a block: barriers, warps, atomics
// --------------------------------------------------------------------------------

inline void __syncthreads() {
  evtok::emulation::block_barrier();
}
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu) {
  evtok::emulation::warp_barrier(mask);
}

/// What thread `lane` of the warp brought, each having brought a value of its own.
template <class T> T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
  const int own = evtok::emulation::lane();
  return evtok::emulation::exchanged(mask, value, (own & ~(width - 1)) | (lane & (width - 1)));
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int other, int width = 32) {
  const int own = evtok::emulation::lane(), from = own ^ other;
  return evtok::emulation::exchanged(mask, value, from / width <= own / width ? from : own);
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
  const int own = evtok::emulation::lane(), from = own + static_cast<int>(by);
  return evtok::emulation::exchanged(mask, value, from / width == own / width ? from : own);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
  const int own = evtok::emulation::lane(), from = own - static_cast<int>(by);
  return evtok::emulation::exchanged(mask, value, from >= 0 && from / width == own / width ? from : own);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  return evtok::emulation::gathered(mask, predicate != 0 ? 1u : 0u,
                                    [](unsigned all, unsigned one, int lane) { return all | (one << lane); });
}
inline int __any_sync(unsigned mask, int predicate) {
  return __ballot_sync(mask, predicate) != 0;
}
inline int __all_sync(unsigned mask, int predicate) {
  return __ballot_sync(mask, predicate) == mask;
}
template <class T> T __reduce_add_sync(unsigned mask, T value) {
  return evtok::emulation::gathered(mask, value, [](T all, T one, int) { return all + one; });
}
template <class T> T __reduce_min_sync(unsigned mask, T value) {
  return evtok::emulation::gathered(mask, value, [first = true](T all, T one, int) mutable {
    const T least = first || one < all ? one : all;
    first = false;
    return least;
  });
}
template <class T> T __reduce_max_sync(unsigned mask, T value) {
  return evtok::emulation::gathered(mask, value, [first = true](T all, T one, int) mutable {
    const T most = first || one > all ? one : all;
    first = false;
    return most;
  });
}

template <class T> T atomicAdd(T* place, T value) {
  const T before = *place;
  *place = before + value;
  return before;
}
template <class T> T atomicMin(T* place, T value) {
  const T before = *place;
  *place = value < before ? value : before;
  return before;
}
template <class T> T atomicMax(T* place, T value) {
  const T before = *place;
  *place = value > before ? value : before;
  return before;
}
template <class T> T atomicOr(T* place, T value) {
  const T before = *place;
  *place = before | value;
  return before;
}
template <class T> T atomicExch(T* place, T value) {
  const T before = *place;
  *place = value;
  return before;
}
template <class T> T atomicCAS(T* place, T expected, T value) {
  const T before = *place;
  if (before == expected) *place = value;
  return before;
}
