// evtok._core: the compiled kernels. Safe to call from many threads at once, with or without the GIL.
#include <pybind11/pybind11.h>

#include "bind.hpp"

PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
  using namespace evtok::bindings;
  m.doc() = "Compiled kernels of evtok. Arguments are checked by the Python layer; call that.";
  bind_runtime(m);
  bind_machine_rates(m);
  bind_result_memory(m);
  bind_offsets(m);
  bind_ragged_merge(m);
  bind_bins(m);
  bind_darkmachines(m);
  bind_order_statistics(m);
  bind_kinematics(m);
  bind_tokenize(m);
  bind_numeric_features(m);
  bind_feature_network(m);
  bind_code_sums(m);
  bind_nearest(m);
  bind_scalar_quantizer(m);
  bind_segments(m);
  bind_row_scores(m);
  bind_token_nll(m);
  bind_encoder(m);
}
