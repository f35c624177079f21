// Arrays of NumPy at the border: every shape and dtype message of the compiled module is made here.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>

namespace evtok::bindings {

namespace py = pybind11;

/// A contiguous array of exactly T: never converted here, the Python layer has done that. `forcecast` is not
/// set, so a wrong dtype is a TypeError of the call.
template <class T> using In = py::array_t<T, py::array::c_style>;
template <class T> using Out = py::array_t<T>;

inline std::string shape_of(const py::array& a) {
  std::string text = "(";
  for (py::ssize_t i = 0; i < a.ndim(); ++i) text += (i ? ", " : "") + std::to_string(a.shape(i));
  return text + (a.ndim() == 1 ? ",)" : ")");
}

/// Requires one dimension, and `length` values unless that is -1.
inline void require_1d(const py::array& a, const char* name, py::ssize_t length = -1) {
  if (a.ndim() == 1 && (length < 0 || a.shape(0) == length)) return;
  throw py::value_error(std::string(name) + ": expected shape (" +
                        (length < 0 ? "n" : std::to_string(length)) + ",), got " + shape_of(a));
}

/// Requires a writable contiguous output of `length` values.
template <class T> T* output_1d(py::array_t<T>& a, const char* name, py::ssize_t length) {
  require_1d(a, name, length);
  if (!(a.flags() & py::array::c_style))
    throw py::value_error(std::string(name) + ": expected a contiguous array");
  return a.mutable_data();  // refuses a read-only array
}

}  // namespace evtok::bindings
