#include <utility>

#include "arrays.hpp"
#include "bind.hpp"
#include "evtok/machine_rates.hpp"

namespace evtok::bindings {
namespace {

void copy(const In<uint8_t>& source, bool streaming, int threads, Out<uint8_t> target) {
  require_1d(source, "source");
  const uint8_t* from = source.data();
  const int64_t n = source.shape(0);
  uint8_t* to = output_1d(target, "target", n);
  const py::gil_scoped_release release;  // raw pointers only from here
  copy_bytes(from, n, streaming, threads, to);
}

std::pair<int64_t, double> multiply_adds(int64_t steps, int threads) {
  const py::gil_scoped_release release;
  const MultiplyAdds done = run_multiply_adds(steps, threads);
  return {done.count, done.mean};
}

}  // namespace

void bind_machine_rates(py::module_& m) {
  m.def("copy_bytes", &copy, py::arg("source").noconvert(), py::arg("streaming"), py::arg("threads"),
        py::arg("target").noconvert(),
        "Copy source (n,) uint8 to target (n,), past the caches where streaming is true.");
  m.def("multiply_adds", &multiply_adds, py::arg("steps"), py::arg("threads"),
        "Run float32 multiply-adds; returns how many, and the mean of their results: 2 from 64 steps.");
}

}  // namespace evtok::bindings
