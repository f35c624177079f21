// Memory of large results. The system clears the pages of new memory before it hands them out, which for ids
// takes nearly as long as finding them; so what a result gives back is kept for the next one.
#pragma once

#include <pybind11/numpy.h>

namespace evtok::bindings {

/// A new array of `dtype`, C-contiguous and not initialised, for a result that the caller will own.
pybind11::array result_array(const pybind11::dtype& dtype, const pybind11::array::ShapeContainer& shape);

template <class T> pybind11::array_t<T> result_array(const pybind11::array::ShapeContainer& shape) {
  return pybind11::array_t<T>(result_array(pybind11::dtype::of<T>(), shape));
}

}  // namespace evtok::bindings
