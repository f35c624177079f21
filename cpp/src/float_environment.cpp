#include "evtok/float_environment.hpp"

#ifdef EVTOK_X86
#include <xmmintrin.h>
#else
#include <cfenv>
#endif

namespace evtok {

#ifdef EVTOK_X86
FloatEnvironment::FloatEnvironment() : saved_(_mm_getcsr()) {
  _mm_setcsr((saved_ & 0x3Fu) | 0x1F80u);  // every exception masked, round to nearest, no flush to zero
}
FloatEnvironment::~FloatEnvironment() {
  _mm_setcsr(saved_);
}
#else
FloatEnvironment::FloatEnvironment() : saved_(static_cast<unsigned>(std::fegetround())) {
  std::fesetround(FE_TONEAREST);
}
FloatEnvironment::~FloatEnvironment() {
  std::fesetround(static_cast<int>(saved_));
}
#endif

template <class T> T rounded_to(double x) {
  const volatile double given = x;  // volatile: stays between the two changes of mode
  volatile T result;
  {
    const FloatEnvironment environment;
    result = static_cast<T>(given);
  }
  return result;
}

template float rounded_to<float>(double);
template double rounded_to<double>(double);

}  // namespace evtok
