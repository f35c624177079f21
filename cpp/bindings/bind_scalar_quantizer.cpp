#include <pybind11/stl.h>

#include <limits>
#include <optional>
#include <string>

#include "arrays.hpp"
#include "bind.hpp"
#include "evtok/scalar_quantizer.hpp"

namespace evtok::bindings {
namespace {

// Everything that the kernel trusts: where thresholds lie, and that no id leaves int32.
void check_levels(const int64_t* ends, const int32_t* stride, int64_t n_dims, int64_t n_thresholds) {
  if (n_dims < 1) throw py::value_error("ends: expected at least one component, got none");
  int64_t begin = 0, largest = 0;
  for (int64_t j = 0; j < n_dims; ++j) {
    if (ends[j] < begin || ends[j] > n_thresholds)
      throw py::value_error("ends: expected to rise to the " + std::to_string(n_thresholds) +
                            " thresholds, got " + std::to_string(ends[j]));
    if (stride[j] < 0) throw py::value_error("strides: expected 0 or more, got " + std::to_string(stride[j]));
    if (ends[j] - begin > std::numeric_limits<int32_t>::max())
      throw py::value_error("thresholds: expected fewer than 2^31 for a component");
    largest += (ends[j] - begin) * stride[j];
    if (largest > std::numeric_limits<int32_t>::max())
      throw py::value_error("strides: an id would be 2^31 or more");
    begin = ends[j];
  }
}

template <class T>
py::tuple scalar_ids_into(const In<T>& x, const In<T>& thresholds, const In<int64_t>& ends,
                          const In<int32_t>& strides, bool right, const std::optional<In<uint8_t>>& mask,
                          int threads, Out<int32_t> ids) {
  require_1d(thresholds, "thresholds");
  require_1d(ends, "ends");
  const int64_t n_dims = ends.shape(0);
  require_1d(strides, "strides", n_dims);
  check_levels(ends.data(), strides.data(), n_dims, thresholds.shape(0));
  if (x.ndim() != 2 || x.shape(1) != n_dims)
    throw py::value_error("x: expected shape (n, " + std::to_string(n_dims) + "), got " + shape_of(x));
  const int64_t n = x.shape(0);
  if (mask) require_1d(*mask, "mask", n);
  const ScalarLevels<T> levels{n_dims, thresholds.data(), ends.data(), strides.data(), right};
  const T* values = x.data();
  const uint8_t* kept = mask ? mask->data() : nullptr;
  int32_t* out = output_1d(ids, "ids", n);
  InvalidRows invalid;
  {
    const py::gil_scoped_release release;  // raw pointers only from here
    invalid = scalar_ids(values, n, levels, kept, threads, out);
  }
  return py::make_tuple(invalid.count, invalid.first);
}

}  // namespace

void bind_scalar_quantizer(py::module_& m) {
  const auto add = [&](auto function) {
    m.def("scalar_ids", function, py::arg("x").noconvert(), py::arg("thresholds").noconvert(),
          py::arg("ends").noconvert(), py::arg("strides").noconvert(), py::arg("right"),
          py::arg("mask").noconvert().none(true), py::arg("threads"), py::arg("ids").noconvert(),
          "Write the id of each row of x (n, D) into ids (n,) int32, from the thresholds of every component; "
          "-1 for rows masked (mask (n,) is 0) or not finite. Returns how many rows are not finite, and the "
          "first.");
  };
  add(&scalar_ids_into<float>);
  add(&scalar_ids_into<double>);
}

}  // namespace evtok::bindings
