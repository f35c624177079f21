#include "evtok/kinematics.hpp"

#include "evtok/parallel.hpp"

namespace evtok {
namespace {

constexpr int64_t kGrain = 4096;       // about 200 µs of work
constexpr int64_t kEventGrain = 8192;  // objects and events, likewise

template <class T> void store(const PtEtaPhi& value, int64_t i, T* pt, T* eta, T* phi) {
  pt[i] = static_cast<T>(value.pt);
  eta[i] = static_cast<T>(value.eta);
  phi[i] = static_cast<T>(value.phi);
}

// out[i] = formula(i), evaluated in float64.
template <class T, class Formula> void for_each_row(int64_t n, int threads, T* out, const Formula& formula) {
  parallel_for(n, kGrain, threads, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = static_cast<T>(formula(i));
  });
}

}  // namespace

template <class T>
void pt_eta_phi(const T* px, const T* py, const T* pz, int64_t n, int threads, T* pt, T* eta, T* phi) {
  parallel_for(n, kGrain, threads, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      store(pt_eta_phi(double{px[i]}, double{py[i]}, double{pz[i]}), i, pt, eta, phi);
  });
}

template <class T> void delta_phi(const T* a, const T* b, int64_t n, int threads, T* out) {
  for_each_row(n, threads, out, [&](int64_t i) { return wrap_angle(double{a[i]} - double{b[i]}); });
}

template <class T> void natural_log(const T* x, int64_t n, int threads, T* out) {
  for_each_row(n, threads, out, [&](int64_t i) { return natural_log(double{x[i]}); });
}

template <class T> void inverse_sinh(const T* x, int64_t n, int threads, T* out) {
  for_each_row(n, threads, out, [&](int64_t i) { return inverse_sinh(double{x[i]}); });
}

template <class T> void arc_tangent(const T* y, const T* x, int64_t n, int threads, T* out) {
  for_each_row(n, threads, out, [&](int64_t i) { return arc_tangent(double{y[i]}, double{x[i]}); });
}

template <class T>
void jet_axis(const int64_t* offsets, int64_t n_events, const T* px, const T* py, const T* pz, int threads,
              T* pt, T* eta, T* phi) {
  parallel_for_events(offsets, n_events, kEventGrain, threads, [&](int64_t begin, int64_t end) {
    for (int64_t event = begin; event < end; ++event) {
      double x = 0.0, y = 0.0, z = 0.0;
      for (int64_t i = offsets[event]; i < offsets[event + 1]; ++i) {
        x += double{px[i]};
        y += double{py[i]};
        z += double{pz[i]};
      }
      store(pt_eta_phi(x, y, z), event, pt, eta, phi);
    }
  });
}

#define EVTOK_INSTANTIATE(T)                                                                                 \
  template void pt_eta_phi<T>(const T*, const T*, const T*, int64_t, int, T*, T*, T*);                       \
  template void delta_phi<T>(const T*, const T*, int64_t, int, T*);                                          \
  template void natural_log<T>(const T*, int64_t, int, T*);                                                  \
  template void inverse_sinh<T>(const T*, int64_t, int, T*);                                                 \
  template void arc_tangent<T>(const T*, const T*, int64_t, int, T*);                                        \
  template void jet_axis<T>(const int64_t*, int64_t, const T*, const T*, const T*, int, T*, T*, T*);

EVTOK_INSTANTIATE(float)
EVTOK_INSTANTIATE(double)

}  // namespace evtok
