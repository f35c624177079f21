#include <string>
#include <vector>

#include "arrays.hpp"
#include "bind.hpp"
#include "evtok/feature_network.hpp"
#include "evtok/float_environment.hpp"

namespace evtok::bindings {
namespace {

void require_2d(const py::array& a, const char* name, int64_t rows, int64_t columns) {
  if (a.ndim() == 2 && a.shape(0) == rows && a.shape(1) == columns) return;
  throw py::value_error(std::string(name) + ": expected shape (" + std::to_string(rows) + ", " +
                        std::to_string(columns) + "), got " + shape_of(a));
}

// Layers are (weight (n_out, n_in), bias (n_out,), activation, slope).
void feature_network(const In<float>& x, const py::list& layers, int threads, Out<float> out) {
  if (x.ndim() != 2) throw py::value_error("x: expected shape (n, n_in), got " + shape_of(x));
  if (layers.empty()) throw py::value_error("layers: expected one layer or more, got none");
  const int64_t n = x.shape(0);
  int64_t width = x.shape(1);
  std::vector<DenseLayer> dense;
  std::vector<py::object> kept;  // the kernel borrows pointers
  for (const py::handle item : layers) {
    const auto layer = item.cast<py::tuple>();
    const auto weight = layer[0].cast<In<float>>();
    const auto bias = layer[1].cast<In<float>>();
    const int32_t activation = layer[2].cast<int32_t>();
    require_1d(bias, "bias");
    require_2d(weight, "weight", bias.shape(0), width);
    if (activation < 0 || activation >= kActivations)
      throw py::value_error("activation: expected 0 to " + std::to_string(kActivations - 1) + ", got " +
                            std::to_string(activation));
    dense.push_back({weight.data(), bias.data(), width, bias.shape(0), static_cast<Activation>(activation),
                     rounded_to<float>(layer[3].cast<double>())});
    kept.push_back(weight);
    kept.push_back(bias);
    width = bias.shape(0);
  }
  require_2d(out, "out", n, width);
  if (!(out.flags() & py::array::c_style)) throw py::value_error("out: expected a contiguous array");
  const float* rows = x.data();
  float* result = out.mutable_data();
  const py::gil_scoped_release release;  // raw pointers only from here
  run_network(dense.data(), static_cast<int64_t>(dense.size()), rows, n, threads, result);
}

}  // namespace

void bind_feature_network(py::module_& m) {
  m.def("feature_network", &feature_network, py::arg("x").noconvert(), py::arg("layers"), py::arg("threads"),
        py::arg("out").noconvert(), "Write the outputs (n, n_out) of dense layers on rows (n, n_in).");
}

}  // namespace evtok::bindings
