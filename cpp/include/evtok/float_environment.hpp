// The floating-point environment of the numerical contract, whatever the caller had set.
#pragma once

namespace evtok {

/// Keeps round to nearest, subnormals computed and no trap while it lives, on this thread, and puts the
/// caller's setting back. A loop of parallel_for is inside one. Where the CPU is not x86 only the rounding
/// is set: flushing of subnormals has no portable switch.
class FloatEnvironment {
public:
  FloatEnvironment();
  ~FloatEnvironment();
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;

private:
  unsigned saved_;
};

/// x as a T, rounded in that environment. For single numbers outside its scope: a compiler may move a cast of
/// its own across the change of mode.
template <class T> T rounded_to(double x);
extern template float rounded_to<float>(double);
extern template double rounded_to<double>(double);

}  // namespace evtok
