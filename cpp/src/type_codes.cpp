#include "evtok/type_codes.hpp"

#include <algorithm>

namespace evtok {
namespace {

bool sum_types_scalar(const uint8_t* codes, int64_t n, const int32_t* contributions, bool fresh,
                      int32_t* accumulator) {
  accumulate_types(codes, n, contributions, fresh, accumulator);
  int32_t all = 0;
  for (int64_t i = 0; i < n; ++i) all |= accumulator[i];
  return (all & kUnknown) == 0;
}

}  // namespace

SumTypes sum_types_for(Isa isa, const int32_t* contributions) {
  [[maybe_unused]] const bool few =
      std::all_of(contributions + 16, contributions + 256, [](int32_t c) { return c == kUnknown; });
#ifdef EVTOK_X86
  if (isa >= Isa::avx512 && few) return sum_types_avx512;
  if (isa >= Isa::avx2 && few) return sum_types_avx2;
#else
  (void)isa;
#endif
  return sum_types_scalar;
}

}  // namespace evtok
