#include "arrays.hpp"
#include "bind.hpp"
#include "evtok/digitize.hpp"

namespace evtok::bindings {
namespace {

template <class T>
void digitize_into(const In<T>& x, const In<T>& edges, bool right, bool falling, int threads,
                   Out<int64_t> codes) {
  require_1d(x, "x");
  require_1d(edges, "edges");
  const T *values = x.data(), *borders = edges.data();
  const int64_t n = x.shape(0), n_edges = edges.shape(0);
  int64_t* out = output_1d(codes, "codes", n);
  const py::gil_scoped_release release;  // raw pointers only from here
  digitize(values, n, borders, n_edges, right, falling, threads, out);
}

}  // namespace

void bind_bins(py::module_& m) {
  const auto add = [&](auto function) {
    m.def("digitize", function, py::arg("x").noconvert(), py::arg("edges").noconvert(), py::arg("right"),
          py::arg("falling"), py::arg("threads"), py::arg("codes").noconvert(),
          "Write the bin of each x (n,) among increasing edges of the same dtype into codes (n,) int64.");
  };
  add(&digitize_into<float>);
  add(&digitize_into<double>);
}

}  // namespace evtok::bindings
