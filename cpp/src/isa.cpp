#include "evtok/isa.hpp"

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#ifdef EVTOK_X86
#include <cpuid.h>
#endif

namespace evtok {
namespace {

constexpr const char* kNames[kIsaCount] = {"scalar", "avx2", "avx512", "avx512_bf16"};

#ifdef EVTOK_X86
// Register states that the operating system saves on a context switch; without them the CPU's word is not
// enough.
unsigned long long saved_states() {
  unsigned int low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<unsigned long long>(high) << 32) | low;
}

struct Cpu {
  bool avx2 = false, avx512 = false, bf16 = false;

  Cpu() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return;
    const bool fma = (c >> 12) & 1, osxsave = (c >> 27) & 1;
    if (!osxsave || !fma) return;
    const auto states = saved_states();
    const bool ymm_saved = (states & 0x6) == 0x6, zmm_saved = (states & 0xE6) == 0xE6;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
    const bool bmi = ((b >> 3) & 1) && ((b >> 8) & 1);
    avx2 = ymm_saved && bmi && ((b >> 5) & 1);
    const bool f = (b >> 16) & 1, dq = (b >> 17) & 1, bw = (b >> 30) & 1, vl = (b >> 31) & 1;
    avx512 = avx2 && zmm_saved && f && dq && bw && vl;
    const bool vnni = (c >> 11) & 1;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d)) return;
    bf16 = avx512 && vnni && ((a >> 5) & 1);  // no CPU has one without the other
  }
};
#endif

Isa best_isa() {
  for (int i = kIsaCount - 1; i > 0; --i)
    if (isa_available(static_cast<Isa>(i))) return static_cast<Isa>(i);
  return Isa::scalar;
}

Isa isa_from_environment() {
  const char* name = std::getenv("EVTOK_ISA");
  if (name == nullptr || *name == '\0') return best_isa();
  for (int i = 0; i < kIsaCount; ++i) {
    if (std::strcmp(name, kNames[i]) != 0) continue;
    if (isa_available(static_cast<Isa>(i))) return static_cast<Isa>(i);
    throw std::runtime_error(std::string("EVTOK_ISA=") + name +
                             ": this CPU cannot run it; the best it can run is " + isa_name(best_isa()));
  }
  throw std::runtime_error(std::string("EVTOK_ISA=") + name +
                           ": unknown; expected scalar, avx2, avx512 or avx512_bf16");
}

thread_local int forced = -1;

}  // namespace

const char* isa_name(Isa isa) {
  return kNames[static_cast<int>(isa)];
}

bool isa_available(Isa isa) {
  if (isa == Isa::scalar) return true;
#ifdef EVTOK_X86
  static const Cpu cpu;
  switch (isa) {
  case Isa::avx2:
    return cpu.avx2;
  case Isa::avx512:
    return cpu.avx512;
  case Isa::avx512_bf16:
    return cpu.bf16;
  default:
    return false;
  }
#else
  return false;
#endif
}

Isa active_isa() {
  static const Isa chosen = isa_from_environment();
  return forced >= 0 ? static_cast<Isa>(forced) : chosen;
}

void force_isa(Isa isa) {
  if (!isa_available(isa))
    throw std::runtime_error(std::string("instruction set ") + isa_name(isa) + ": this CPU cannot run it");
  forced = static_cast<int>(isa);
}

void unforce_isa() {
  forced = -1;
}

}  // namespace evtok
