#include <limits>

#include "bind.hpp"
#include "device.hpp"
#include "digitize.cuh"

namespace evtok::cuda::bindings {
namespace {

// x (n,), edges (n_edges,) increasing, codes (n,) int64: contiguous, on the current device.
template <class T>
void digitize(Address x, int64_t n, Address edges, int64_t n_edges, bool right, bool falling, Address codes,
              Address stream) {
  require_size(n, "n");
  require_size(n_edges, "n_edges");
  if (n_edges > std::numeric_limits<int32_t>::max())
    throw py::value_error("n_edges: expected fewer than 2^31");
  check(cuda::digitize(at<const T>(x), n, at<const T>(edges), static_cast<int32_t>(n_edges), right, falling,
                       at<int64_t>(codes), stream_at(stream)),
        "digitize");
}

}  // namespace

void bind_digitize(py::module_& m) {
  const auto add = [&](const char* name, auto function) {
    m.def(name, function, py::arg("x"), py::arg("n"), py::arg("edges"), py::arg("n_edges"), py::arg("right"),
          py::arg("falling"), py::arg("codes"), py::arg("stream"));
  };
  add("digitize_float32", &digitize<float>);
  add("digitize_float64", &digitize<double>);
}

}  // namespace evtok::cuda::bindings
