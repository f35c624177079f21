#include <pybind11/stl.h>

#include <optional>
#include <string>

#include "arrays.hpp"
#include "bind.hpp"
#include "evtok/segments.hpp"

namespace evtok::bindings {
namespace {

// values (m,), weights (m,) or none, types (m,) or none with type_weights (T,): T above every type and
// offsets (n + 1,) checked by the caller.
template <class T>
py::tuple reduce(const In<T>& values, const In<int64_t>& offsets, const std::optional<In<T>>& weights,
                 const std::optional<In<uint8_t>>& types, const std::optional<In<T>>& type_weights,
                 int32_t reduction, int64_t k, double empty, int threads, Out<T> out) {
  require_1d(values, "values");
  require_1d(offsets, "offsets");
  if (offsets.shape(0) < 1) throw py::value_error("offsets: expected shape (n + 1,), got (0,)");
  if (weights) require_1d(*weights, "weights", values.shape(0));
  if (types) require_1d(*types, "types", values.shape(0));
  if (type_weights) require_1d(*type_weights, "type_weights");
  if (types.has_value() != type_weights.has_value())
    throw py::value_error("types, type_weights: expected both or none");
  if (reduction < 0 || reduction >= kReductions || k < 1)
    throw py::value_error("reduction: expected 0 to " + std::to_string(kReductions - 1) + " and k above 0");
  const int64_t n = offsets.shape(0) - 1;
  const Segments<T> events{values.data(), values.shape(0), weights ? weights->data() : nullptr, 0,
                           offsets.data()};
  const SegmentRule rule{static_cast<Reduction>(reduction), k, empty};
  TypeWeights<T> by_type;
  if (types) by_type = {types->data(), type_weights->data(), type_weights->shape(0)};
  T* result = output_1d(out, "out", n);
  InvalidSegments invalid;
  {
    const py::gil_scoped_release release;  // raw pointers only from here
    invalid = reduce_segments(events, n, by_type, rule, threads, result);
  }
  return py::make_tuple(invalid.count, invalid.first);
}

}  // namespace

void bind_segments(py::module_& m) {
  const auto add = [&](auto function) {
    m.def("reduce_segments", function, py::arg("values").noconvert(), py::arg("offsets").noconvert(),
          py::arg("weights").noconvert(), py::arg("types").noconvert(), py::arg("type_weights").noconvert(),
          py::arg("reduction"), py::arg("k"), py::arg("empty"), py::arg("threads"),
          py::arg("out").noconvert(),
          "Reduce the values of each event to out (n,); returns (invalid events, the first of them).");
  };
  add(&reduce<float>);
  add(&reduce<double>);
}

}  // namespace evtok::bindings
