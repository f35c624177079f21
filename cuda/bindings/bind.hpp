// One function per operation; module.cpp calls them all.
#pragma once

#include <pybind11/pybind11.h>

namespace evtok::cuda::bindings {

void bind_device(pybind11::module_& m);
void bind_digitize(pybind11::module_& m);
void bind_nearest(pybind11::module_& m);
void bind_row_ids(pybind11::module_& m);
void bind_sequences(pybind11::module_& m);
void bind_scores(pybind11::module_& m);
void bind_token_nll(pybind11::module_& m);

}  // namespace evtok::cuda::bindings
