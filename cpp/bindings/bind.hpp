// One function per operation adds its names to the module; module.cpp calls them in the order of the data
// flow.
#pragma once

#include <pybind11/pybind11.h>

namespace evtok::bindings {

void bind_runtime(pybind11::module_& m);
void bind_machine_rates(pybind11::module_& m);
void bind_result_memory(pybind11::module_& m);
void bind_offsets(pybind11::module_& m);
void bind_ragged_merge(pybind11::module_& m);
void bind_bins(pybind11::module_& m);
void bind_darkmachines(pybind11::module_& m);
void bind_order_statistics(pybind11::module_& m);
void bind_kinematics(pybind11::module_& m);
void bind_tokenize(pybind11::module_& m);
void bind_numeric_features(pybind11::module_& m);
void bind_feature_network(pybind11::module_& m);
void bind_code_sums(pybind11::module_& m);
void bind_nearest(pybind11::module_& m);
void bind_scalar_quantizer(pybind11::module_& m);
void bind_segments(pybind11::module_& m);
void bind_row_scores(pybind11::module_& m);
void bind_token_nll(pybind11::module_& m);
void bind_encoder(pybind11::module_& m);

}  // namespace evtok::bindings
