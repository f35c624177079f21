#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>

#include "arrays.hpp"
#include "bind.hpp"
#include "evtok/nearest.hpp"

namespace evtok::bindings {
namespace {

void require_2d(const py::array& a, const char* name, py::ssize_t columns = -1) {
  if (a.ndim() == 2 && (columns < 0 || a.shape(1) == columns)) return;
  throw py::value_error(std::string(name) + ": expected shape (n, " +
                        (columns < 0 ? "D" : std::to_string(columns)) + "), got " + shape_of(a));
}

Metric metric_named(const std::string& name) {
  if (name == "l2") return Metric::l2;
  if (name == "dot") return Metric::dot;
  if (name == "cosine") return Metric::cosine;
  throw py::value_error("metric: expected \"l2\", \"dot\" or \"cosine\", got \"" + name + "\"");
}

template <class T> std::unique_ptr<CodeSearch<T>> prepare(const In<T>& codes, const std::string& metric) {
  require_2d(codes, "codes");
  const T* values = codes.data();
  const int64_t n_codes = codes.shape(0), n_dims = codes.shape(1);
  const Metric chosen = metric_named(metric);
  const py::gil_scoped_release release;  // raw pointers only from here
  return std::make_unique<CodeSearch<T>>(values, n_codes, n_dims, chosen);
}

const char* reason_of(RowFault fault) {
  switch (fault) {
  case RowFault::not_finite:
    return "holds NaN or infinity";
  case RowFault::zero:
    return "is a zero vector, which has no direction";
  case RowFault::overflow:
    return "is so far from the codes that its distance overflows";
  case RowFault::none:
  case RowFault::masked:
    break;
  }
  return "";
}

// ids (n, k), values (n, k) or (0, k), margin (n,) or (0,), mask (n,) or none: contiguous, owned by the
// caller.
template <class T>
py::tuple search(const CodeSearch<T>& codes, const In<T>& x, const std::optional<In<uint8_t>>& mask,
                 int threads, Out<int32_t> ids, std::optional<Out<T>> values, std::optional<Out<T>> margin) {
  require_2d(x, "x", codes.n_dims());
  const py::ssize_t n = x.shape(0);
  if (mask) require_1d(*mask, "mask", n);
  if (ids.ndim() != 2 || ids.shape(0) != n || !(ids.flags() & py::array::c_style))
    throw py::value_error("ids: expected contiguous (n, k), got " + shape_of(ids));
  const py::ssize_t k = ids.shape(1);
  if (values && (values->ndim() != 2 || values->shape(0) != n || values->shape(1) != k ||
                 !(values->flags() & py::array::c_style)))
    throw py::value_error("values: expected contiguous (n, k), got " + shape_of(*values));
  T* margins = margin ? output_1d(*margin, "margin", n) : nullptr;
  const RowsView<T> rows{x.data(), n, mask ? mask->data() : nullptr};
  const Neighbours<T> out{k, ids.mutable_data(), values ? values->mutable_data() : nullptr, margins};
  RowFaults faults;
  {
    const py::gil_scoped_release release;  // raw pointers only from here
    faults = codes.search(rows, out, threads);
  }
  return py::make_tuple(faults.count, faults.first, reason_of(faults.reason));
}

template <class T> py::array_t<T> normalised(const In<T>& codes) {
  require_2d(codes, "codes");
  py::array_t<T> result({codes.shape(0), codes.shape(1)});
  const T* values = codes.data();
  T* out = result.mutable_data();
  const int64_t n_codes = codes.shape(0), n_dims = codes.shape(1);
  int64_t fault;
  {
    const py::gil_scoped_release release;  // raw pointers only from here
    fault = normalise_codes(values, n_codes, n_dims, out);
  }
  if (fault >= 0)
    throw py::value_error("codebook: code " + std::to_string(fault) +
                          " has no direction (its norm is zero or overflows), which metric \"cosine\" needs");
  return result;
}

template <class T> void bind_for(py::module_& m, const char* name) {
  py::class_<CodeSearch<T>>(m, name, "A codebook prepared for lookup: immutable, thread-safe.")
      .def(py::init(&prepare<T>), py::arg("codes").noconvert(), py::arg("metric"))
      .def("search", &search<T>, py::arg("x").noconvert(), py::arg("mask").noconvert(), py::arg("threads"),
           py::arg("ids").noconvert(), py::arg("values").noconvert(), py::arg("margin").noconvert(),
           "Write the k nearest codes of x (n, D) into ids (n, k), with values (n, k) and margin (n,) if "
           "given; "
           "returns (refused rows, the first of them, why).");
  m.def("normalise_codes", &normalised<T>, py::arg("codes").noconvert(),
        "Codes (K, D) divided by their norms.");
}

}  // namespace

void bind_nearest(py::module_& m) {
  bind_for<float>(m, "CodeSearchFloat32");
  bind_for<double>(m, "CodeSearchFloat64");
}

}  // namespace evtok::bindings
