// Transverse momentum, pseudorapidity and azimuth, differences of angles, and the axis of a jet.
//
// Contract: evaluated in float64 from the values as they are, in the order written, and rounded once to the
// type of the input (real_functions.hpp). Units: momenta any, angles radians.
#pragma once

#include <cstdint>

#include "evtok/angles.hpp"
#include "evtok/numerics.hpp"
#include "evtok/real_functions.hpp"

namespace evtok {

struct PtEtaPhi {
  double pt, eta, phi;
};

/// pt = sqrt(px^2 + py^2), eta = asinh(pz / pt), phi = atan2(py, px) in [-pi, pi]. No intermediate result
/// overflows or underflows: numbers are scaled by powers of two. Errors are at most 2 ulp for pt and phi and
/// 5 ulp for eta; the largest that tests have met are 1.2, 1.3 and 2.0.
/// Where pt is 0, eta is +inf or -inf with the sign of pz, or 0 if pz is 0, and phi is atan2 of the zeros.
/// All three are NaN where a component is not finite.
EVTOK_FORMULA PtEtaPhi pt_eta_phi(double px, double py, double pz) {
  if (!is_finite(px) || !is_finite(py) || !is_finite(pz)) return {kNaN, kNaN, kNaN};
  const double phi = arc_tangent(py, px);
  const double x = magnitude(px), y = magnitude(py), z = magnitude(pz);
  const double larger = x > y ? x : y, smaller = x > y ? y : x;
  if (larger == 0) return {0.0, z == 0 ? 0.0 : with_sign_of(kInfinity, pz), phi};
  const Scaled first = scaled(larger);
  const double second = unscaled(smaller, -first.exponent);  // inexact only where it does not matter
  const double pt = std::sqrt(first.fraction * first.fraction + second * second);  // in [1, 3)
  double eta = 0.0;
  if (z != 0) {
    const Scaled third = scaled(z);
    eta = with_sign_of(asinh_scaled(third.fraction / pt, third.exponent - first.exponent), pz);
  }
  return {unscaled(pt, first.exponent), eta, phi};
}

// Loops over columns, each (n,) contiguous of T, borrowed; outputs are written. The bits do not
// depend on `threads`.

template <class T>
void pt_eta_phi(const T* px, const T* py, const T* pz, int64_t n, int threads, T* pt, T* eta, T* phi);

/// wrap_angle(a - b), rounded once.
template <class T> void delta_phi(const T* a, const T* b, int64_t n, int threads, T* out);

template <class T> void natural_log(const T* x, int64_t n, int threads, T* out);
template <class T> void inverse_sinh(const T* x, int64_t n, int threads, T* out);
template <class T> void arc_tangent(const T* y, const T* x, int64_t n, int threads, T* out);

/// pt, eta and phi (n_events,) of the sum of the momenta in each event: added in float64 in the order of the
/// objects. offsets (n_events + 1,) checked, borrowed.
template <class T>
void jet_axis(const int64_t* offsets, int64_t n_events, const T* px, const T* py, const T* pz, int threads,
              T* pt, T* eta, T* phi);

}  // namespace evtok
