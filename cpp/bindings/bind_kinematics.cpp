#include "arrays.hpp"
#include "bind.hpp"
#include "evtok/kinematics.hpp"
#include "evtok/offsets.hpp"

namespace evtok::bindings {
namespace {

template <class T>
void pt_eta_phi_into(const In<T>& px, const In<T>& py, const In<T>& pz, int threads, Out<T> pt, Out<T> eta,
                     Out<T> phi) {
  require_1d(px, "px");
  const int64_t n = px.shape(0);
  require_1d(py, "py", n);
  require_1d(pz, "pz", n);
  const T *x = px.data(), *y = py.data(), *z = pz.data();
  T *out_pt = output_1d(pt, "pt", n), *out_eta = output_1d(eta, "eta", n),
    *out_phi = output_1d(phi, "phi", n);
  const py::gil_scoped_release release;  // raw pointers only from here
  pt_eta_phi(x, y, z, n, threads, out_pt, out_eta, out_phi);
}

template <class T>
void jet_axis_into(const In<int64_t>& offsets, const In<T>& px, const In<T>& py, const In<T>& pz, int threads,
                   Out<T> pt, Out<T> eta, Out<T> phi) {
  require_1d(px, "px");
  require_1d(offsets, "offsets");
  const int64_t n = px.shape(0), n_events = offsets.shape(0) - 1;
  if (n_events < 0 || check_offsets(offsets.data(), n_events, n, n).fault != OffsetsFault::none)
    throw py::value_error("offsets: expected increasing positions of rows");
  require_1d(py, "py", n);
  require_1d(pz, "pz", n);
  const int64_t* starts = offsets.data();
  const T *x = px.data(), *y = py.data(), *z = pz.data();
  T *out_pt = output_1d(pt, "pt", n_events), *out_eta = output_1d(eta, "eta", n_events),
    *out_phi = output_1d(phi, "phi", n_events);
  const py::gil_scoped_release release;  // raw pointers only from here
  jet_axis(starts, n_events, x, y, z, threads, out_pt, out_eta, out_phi);
}

template <class T, void (*Function)(const T*, int64_t, int, T*)>
void unary_into(const In<T>& x, int threads, Out<T> out) {
  require_1d(x, "x");
  const int64_t n = x.shape(0);
  const T* values = x.data();
  T* result = output_1d(out, "out", n);
  const py::gil_scoped_release release;  // raw pointers only from here
  Function(values, n, threads, result);
}

template <class T, void (*Function)(const T*, const T*, int64_t, int, T*)>
void binary_into(const In<T>& a, const In<T>& b, int threads, Out<T> out) {
  require_1d(a, "a");
  const int64_t n = a.shape(0);
  require_1d(b, "b", n);
  const T *left = a.data(), *right = b.data();
  T* result = output_1d(out, "out", n);
  const py::gil_scoped_release release;  // raw pointers only from here
  Function(left, right, n, threads, result);
}

template <class T> void bind_for(py::module_& m) {
  const auto arg = [](const char* name) { return py::arg(name).noconvert(); };
  const auto threads = py::arg("threads");
  m.def("pt_eta_phi", &pt_eta_phi_into<T>, arg("px"), arg("py"), arg("pz"), threads, arg("pt"), arg("eta"),
        arg("phi"), "Write transverse momentum, pseudorapidity and azimuth of momenta (n,).");
  m.def("jet_axis", &jet_axis_into<T>, arg("offsets"), arg("px"), arg("py"), arg("pz"), threads, arg("pt"),
        arg("eta"), arg("phi"), "Write pt, eta and phi (n_events,) of the sum of the momenta in each event.");
  m.def("delta_phi", &binary_into<T, &delta_phi<T>>, arg("a"), arg("b"), threads, arg("out"),
        "Write the difference of angles a - b (n,), wrapped to [-pi, pi].");
  m.def("arc_tangent", &binary_into<T, &arc_tangent<T>>, arg("y"), arg("x"), threads, arg("out"),
        "Write the angle of (x, y) in [-pi, pi].");
  m.def("natural_log", &unary_into<T, &natural_log<T>>, arg("x"), threads, arg("out"), "Write log(x) (n,).");
  m.def("inverse_sinh", &unary_into<T, &inverse_sinh<T>>, arg("x"), threads, arg("out"),
        "Write asinh(x) (n,).");
}

}  // namespace

void bind_kinematics(py::module_& m) {
  bind_for<float>(m);
  bind_for<double>(m);
}

}  // namespace evtok::bindings
