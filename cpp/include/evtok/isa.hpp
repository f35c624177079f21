// Which instruction set the kernels use: chosen once from the CPU, or forced.
#pragma once

namespace evtok {

enum class Isa { scalar = 0, avx2 = 1, avx512 = 2, avx512_bf16 = 3 };
inline constexpr int kIsaCount = 4;

/// The name that EVTOK_ISA and `evtok info` use.
const char* isa_name(Isa isa);

/// True when this CPU and this operating system can run `isa` (CPUID and the saved register state, XGETBV).
bool isa_available(Isa isa);

/// The instruction set of calls from this thread: the forced one, else EVTOK_ISA, else the best available.
/// Throws std::runtime_error when EVTOK_ISA names an unknown or unavailable instruction set.
Isa active_isa();

/// Forces `isa` for calls from this thread (tests run every path on one machine). Throws std::runtime_error
/// when the CPU cannot run it.
void force_isa(Isa isa);
void unforce_isa();

}  // namespace evtok
