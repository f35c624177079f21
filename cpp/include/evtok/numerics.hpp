// The numerical contract, and the few words that every kernel shares.
//
// A token is defined by an executable specification, so each operation has one exact meaning:
//   * arithmetic is IEEE 754 in the dtype that the operation names, in the order written;
//   * the compiler fuses nothing (-ffp-contract=off); a fused multiply-add is written std::fma;
//   * subnormal numbers are computed, never flushed, and rounding is to nearest-even (FloatEnvironment);
//   * vector lanes run across rows, never along a sum, so every instruction set gives the same bits.
//
// A change that can change any token raises kNumericsVersion, which every artefact records.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define EVTOK_HD __host__ __device__
#else
#define EVTOK_HD
#endif

// A formula shared by every instruction set and by the GPU. Always inlined: an out-of-line copy from a file
// compiled for one instruction set could replace the portable one at link time.
#define EVTOK_FORMULA EVTOK_HD inline __attribute__((always_inline))

namespace evtok {

inline constexpr int32_t kNumericsVersion = 1;

}  // namespace evtok
